"""The sessions of users in auth's database, and locking users out, on a real MongoDB."""

import secrets
from datetime import timedelta
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet

from auth import sessions
from auth.domain import SessionNotFound, UserLocked, UserNotFound
from auth.seals import Seals
from auth.service import AuthService
from auth.store import UserStore
from libs.clock import utc_now
from libs.events import VersionConflict
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Unauthenticated
from libs.schema import migrate
from libs.tokens import Claims, Signer, Verifier, new_key

PRIVATE, PUBLIC = new_key("auth:1")
KEY = Fernet.generate_key().decode()
ADDRESS = "192.0.2.7"
DEVICE = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
WHY = "reported as stolen"


class Caller(SimpleNamespace):
    def require(self, *names):
        return names[0]


class Service:
    """auth as the gateway and an operator call it, in this process."""

    def __init__(self, database):
        self.itself = AuthService()
        self.itself.store, self.itself.seals = UserStore(database), Seals(KEY)
        self.itself.signer, self.itself.caller = Signer(PRIVATE), Caller()

    def __getattr__(self, name):
        return getattr(self.itself, name)

    def sign_in(self, user, device=DEVICE, address=ADDRESS, ago=0):
        """Begin a session that is used once; return its claims."""
        found = self.store.find(user["id"])
        claims = Verifier(PUBLIC).verify(self.itself._start_session(found)["token"])
        self.use(claims, device, address, ago)
        return claims

    def use(self, claims, device=DEVICE, address=ADDRESS, ago=0):
        about = {"id": claims.session_id, "user_id": claims.subject, "generation": claims.generation}
        about |= {"issued_at": claims.issued_at, "expires_at": claims.expires_at, "used_at": claims.issued_at - ago}
        self.itself.note_sessions([about | {"device": device, "address": address}])

    def acting(self, claims):
        """Let this session's user call."""
        self.itself.caller = Caller(session=claims)
        return self.itself


@pytest.fixture
def mongo(emptied):
    return emptied


@pytest.fixture
def auth(mongo):
    migrate(mongo, UserStore.schema)
    return Service(mongo)


@pytest.fixture
def ana(auth):
    return auth.store.add(f"ana-{secrets.token_hex(4)}@example.org", "hash", "home")


def ids(found):
    return [session["id"] for session in found]


def test_user_sees_their_own_sessions_with_the_last_used_first(auth, ana):
    bo = auth.store.add("bo@example.org", "hash", "home")
    old, new, _ = auth.sign_in(ana, ago=600), auth.sign_in(ana), auth.sign_in(bo)

    found = auth.acting(new).list_sessions()

    assert ids(found) == [new.session_id, old.session_id]
    assert (found[0]["device"], found[0]["address"]) == (DEVICE, ADDRESS)
    assert found[1]["used_at"] == found[1]["started_at"] - timedelta(seconds=600)


def test_session_shows_where_it_was_used_last(auth, ana):
    session = auth.sign_in(ana, ago=600)
    auth.use(session, address="198.51.100.9")

    (found,) = auth.acting(session).list_sessions()

    assert found["address"] == "198.51.100.9"
    assert found["used_at"] == found["started_at"]


def test_thief_of_the_database_does_not_learn_where_users_were(auth, ana, mongo):
    session = auth.sign_in(ana)

    assert ADDRESS not in str(list(mongo.sessions.find())) and "Firefox" not in str(list(mongo.sessions.find()))
    auth.itself.seals = Seals(Fernet.generate_key().decode())
    assert auth.acting(session).list_sessions()[0]["address"] == ""


def test_session_that_has_ended_is_listed_no_longer_and_cannot_be_ended_again(auth, ana):
    lost, own = auth.sign_in(ana), auth.sign_in(ana)

    ended = auth.acting(own).end_session(lost.session_id)

    assert ended["kind"] == "sessions"
    assert [found["id"] for found in auth.store.list_revoked(ended["number"] - 1, 10)] == [lost.session_id]
    assert ids(auth.acting(own).list_sessions()) == [own.session_id]
    with pytest.raises(Unauthenticated):
        auth.acting(lost).list_sessions()


def test_thief_does_not_hide_a_session_behind_many_that_have_ended(auth, ana, monkeypatch):
    monkeypatch.setattr(sessions, "MOST_LISTED", 2)
    thief, own = auth.sign_in(ana, ago=600), auth.sign_in(ana, ago=300)
    for ended in [auth.sign_in(ana) for _ in range(3)]:
        auth.acting(ended).end_session(ended.session_id)

    assert ids(auth.acting(own).list_sessions()) == [own.session_id, thief.session_id]


def test_nobody_ends_the_session_of_somebody_else(auth, ana):
    bo = auth.store.add("bo@example.org", "hash", "home")
    anas, bos = auth.sign_in(ana), auth.sign_in(bo)

    with pytest.raises(SessionNotFound):
        auth.acting(bos).end_session(anas.session_id)


def test_sessions_that_ended_together_are_listed_no_longer(auth, ana):
    old = auth.sign_in(ana)
    auth.store.revoke_all(auth.store.find(ana["id"]))
    own = auth.sign_in(ana)

    assert ids(auth.acting(own).list_sessions()) == [own.session_id]
    with pytest.raises(SessionNotFound):
        auth.acting(own).end_session(old.session_id)


@pytest.mark.parametrize("by", ["id", "email"])
def test_locked_user_cannot_sign_in_and_all_their_sessions_end_until_an_operator_unlocks_them(auth, ana, by):
    session = auth.sign_in(ana)

    locked = auth.lock(ana[by], WHY)

    assert (locked["id"], locked["email"]) == (ana["id"], ana["email"]) and locked["locked_at"]
    assert auth.store.is_revoked(session.session_id, ana["id"], session.generation)
    with pytest.raises(UserLocked, match="Your account is locked. Contact us"):
        auth.sign_in(ana)
    assert auth.unlock(ana[by], "identity checked")["locked_at"] is None
    assert auth.sign_in(ana)


def test_operator_ends_all_sessions_of_a_user_who_may_sign_in_again(auth, ana):
    session = auth.sign_in(ana)

    assert auth.end_sessions(ana["email"].upper(), "lost a phone")["locked_at"] is None

    assert auth.store.is_revoked(session.session_id, ana["id"], session.generation)
    assert auth.sign_in(ana)


def test_thief_who_changes_the_password_at_the_same_moment_does_not_keep_an_operator_from_locking(auth, ana):
    revoke_all, others = auth.store.revoke_all, iter(range(3))

    def beaten(user, **changes):
        if next(others, None) is not None:
            raise VersionConflict("another was quicker")
        return revoke_all(user, **changes)

    auth.store.revoke_all = beaten

    assert auth.lock(ana["id"], WHY)["locked_at"]


@pytest.mark.parametrize("method", ["lock", "unlock", "end_sessions"])
def test_operator_who_names_nobody_or_gives_no_reason_reads_so(auth, ana, method):
    for user in ("nobody@example.org", "0" * 24, ""):
        with pytest.raises(UserNotFound):
            getattr(auth, method)(user, WHY)
    with pytest.raises(InvalidArguments, match="reason must say why"):
        getattr(auth, method)(ana["id"], " ")
    assert auth.store.find(ana["id"])["version"] == 1


SEEN = {
    "id": "s1",
    "user_id": "u1",
    "generation": 0,
    "issued_at": 1,
    "expires_at": 2,
    "used_at": 1,
    "device": "",
    "address": "",
}


@pytest.mark.parametrize(
    "used",
    [
        {},
        "x",
        [1],
        [{}],
        [SEEN] * 101,
        [SEEN | {"id": {"$ne": 1}}],
        [SEEN | {"used_at": "now"}],
        [SEEN | {"used_at": 10**20}],
        [SEEN | {"device": "x" * 257}],
        [SEEN | {"generation": None}],
    ],
)
def test_what_is_no_session_is_not_noted(auth, used, mongo):
    with pytest.raises(InvalidArguments):
        auth.note_sessions(used)

    assert mongo.sessions.count_documents({}) == 0


def test_sessions_are_forgotten_once_they_have_expired(mongo, auth):
    (index,) = [each for each in mongo.sessions.index_information().values() if "expireAfterSeconds" in each]

    assert (index["key"], index["expireAfterSeconds"]) == ([("expires_at", 1)], 0)


def test_session_that_has_expired_is_not_listed(auth, ana):
    session = auth.sign_in(ana)
    now = int(utc_now().timestamp())
    auth.use(Claims("auth", ana["id"], "old", now - 43200, now - 1))

    assert ids(auth.acting(session).list_sessions()) == [session.session_id]
