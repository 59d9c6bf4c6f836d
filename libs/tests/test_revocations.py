"""Sessions that were ended early, as known to one process, and when that is known to all."""

import random
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Event, Thread

import pytest

from dev.testing import wait_for
from libs.revocations import ASK_SECONDS, PRUNE_SECONDS, QUIET_SECONDS, TRUST_SECONDS, Revocations, await_effect
from libs.rpc import RemoteError, ServiceUnavailable
from libs.tokens import Claims

LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
LONG_AGO = "1970-01-01T00:00:01Z"
PAGE = 3


def session(ident, user="ana", generation=0):
    return Claims("auth", user, ident, 0, int(time.time()) + 3600, generation=generation)


def unavailable(*_):
    raise ServiceUnavailable("auth")


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Auth:
    """What processes see of auth: what was revoked, in pages, and what each process that asked lately knows."""

    def __init__(self, clock):
        self.clock, self.ended, self.followers = clock, {"sessions": [], "users": []}, {}

    def revoke(self, kind="sessions", ident="s1", expires_at=LATER, **fields):
        """Return the number."""
        number = len(self.ended[kind]) + 1
        self.ended[kind].append({"id": ident, "expires_at": expires_at, "number": number, **fields})
        return number

    def ask(self, process, known):
        self.followers[process] = (dict(known), self.clock() + TRUST_SECONDS)
        found = {kind: [each for each in ended if each["number"] > known[kind]] for kind, ended in self.ended.items()}
        is_all = all(len(ended) < PAGE for ended in found.values())
        return {kind: ended[:PAGE] for kind, ended in found.items()} | {"is_all": is_all}

    def know(self, kind, number):
        counted = (known for known, until in self.followers.values() if until >= self.clock())
        return all(known[kind] >= number for known in counted)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def auth(clock):
    return Auth(clock)


@pytest.fixture
def known(auth, clock):
    return Revocations(auth.ask, unavailable, clock)


def test_no_session_is_accepted_before_auth_was_asked(known):
    with pytest.raises(ServiceUnavailable):
        known.is_revoked(session("s1"))


def test_current_list_decides_without_asking_about_the_session(known, auth):
    auth.revoke(ident="s1")
    known.refresh()

    assert (known.is_revoked(session("s1")), known.is_revoked(session("s2"))) == (True, False)


def test_list_of_many_pages_is_complete_before_it_is_relied_on(known, auth):
    for number in range(2 * PAGE):
        auth.revoke(ident=f"s{number}")
        auth.revoke("users", f"user {number}", generation=1)

    known._ask_for_more()
    with pytest.raises(ServiceUnavailable):
        known.is_revoked(session("s9"))
    known.refresh()

    assert all(known.is_revoked(session(f"s{number}")) for number in range(2 * PAGE))
    assert all(known.is_revoked(session("s", f"user {number}")) for number in range(2 * PAGE))
    assert not known.is_revoked(session("s9"))


def test_list_is_relied_on_for_its_time_from_the_question_and_not_from_the_answer(auth, clock):
    def ask_slowly(*arguments):
        found = auth.ask(*arguments)
        clock.sleep(1)
        return found

    known = Revocations(ask_slowly, unavailable, clock)
    known.refresh()
    clock.sleep(TRUST_SECONDS - 1.1)
    assert not known.is_revoked(session("s1"))

    clock.sleep(0.2)

    with pytest.raises(ServiceUnavailable):
        known.is_revoked(session("s1"))


def test_answer_that_comes_too_late_is_not_relied_on(auth, clock):
    def ask_too_slowly(*arguments):
        clock.sleep(TRUST_SECONDS)
        return auth.ask(*arguments)

    known = Revocations(ask_too_slowly, unavailable, clock)
    known.refresh()

    with pytest.raises(ServiceUnavailable):
        known.is_revoked(session("s1"))


def test_known_revocation_needs_no_connection(known, auth, clock):
    auth.revoke(ident="s1")
    known.refresh()
    clock.sleep(3600)

    assert known.is_revoked(session("s1"))


def test_auth_is_asked_about_each_session_while_the_list_may_be_out_of_date(auth):
    known = Revocations(auth.ask, lambda claims: claims.session_id == "s1")

    assert (known.is_revoked(session("s1")), known.is_revoked(session("s2"))) == (True, False)


def test_all_sessions_of_a_user_end_together_and_later_ones_are_accepted(known, auth):
    auth.revoke("users", "ana", generation=2)
    known.refresh()

    assert known.is_revoked(session("s1", generation=0)) and known.is_revoked(session("s2", generation=1))
    assert not known.is_revoked(session("s3", generation=2))
    assert not known.is_revoked(session("s4", user="bo"))


def test_sessions_and_users_are_dropped_once_their_tokens_have_expired(known, auth, clock):
    auth.revoke(ident="old", expires_at=LONG_AGO)
    auth.revoke("users", "ana", LONG_AGO, generation=1)
    clock.sleep(PRUNE_SECONDS)
    auth.revoke(ident="new")
    auth.revoke("users", "bo", generation=1)

    known.refresh()

    assert (list(known._sessions), list(known._users)) == (["new"], ["bo"])


def test_session_from_an_auth_that_is_ahead_stays_ended_by_one_that_is_behind(known, auth, clock):
    auth.revoke("users", "ana", (datetime.now(UTC) - timedelta(minutes=1)).isoformat(), generation=1)
    clock.sleep(PRUNE_SECONDS)
    known.refresh()

    assert known.is_revoked(Claims("auth", "ana", "s1", 0, int(time.time())))


@pytest.mark.parametrize("kind", ["sessions", "users"])
def test_no_session_that_has_ended_is_accepted_again_after_the_clock_was_ahead(auth, clock, monkeypatch, kind):
    known, now = Revocations(auth.ask, lambda claims: claims.session_id == "s1", clock), time.time()
    auth.revoke("sessions") if kind == "sessions" else auth.revoke("users", "ana", generation=1)
    known.refresh()
    clock.sleep(PRUNE_SECONDS)
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: now + 2 * 3600)
        known.refresh()
    clock.sleep(PRUNE_SECONDS)
    known.refresh()

    assert (known._sessions, known._users) == ({}, {})
    assert known.is_revoked(session("s1"))
    assert not known.is_revoked(session("s2", "bo"))


def test_sign_out_is_effective_once_every_process_knows_it(auth, clock):
    first, second = (Revocations(auth.ask, unavailable, clock) for _ in range(2))
    for process in (first, second):
        process.refresh()
    number = auth.revoke()

    first.refresh()
    assert not auth.know("sessions", number)
    second.refresh()

    assert auth.know("sessions", number)


def test_sign_out_waits_no_longer_than_the_slowest_process(clock):
    answers = iter([False, False, True])
    began = clock()

    await_effect(lambda timeout: next(answers), clock, clock.sleep)

    assert clock() - began < 0.1


@pytest.mark.parametrize("is_effective", [lambda timeout: False, unavailable])
def test_sign_out_is_effective_in_time_when_a_process_hangs_or_auth_is_gone(clock, is_effective):
    began = clock()

    await_effect(is_effective, clock, clock.sleep)

    assert clock() - began == pytest.approx(TRUST_SECONDS)


@pytest.mark.parametrize("seed", range(40))
def test_session_is_never_accepted_after_its_sign_out_was_answered(seed):
    """Answers that are late or lost, processes that hang, sign-outs at any moment; nobody is told by a broadcast."""
    chance, clock = random.Random(seed), Clock()
    auth, numbers, pending, ended = Auth(clock), count(), [], []

    def pass_time():
        clock.sleep(chance.choice((0, 0.01, 0.3, 1, 2)))
        if chance.random() < 0.3:
            ident = f"s{next(numbers)}"
            pending.append((ident, auth.revoke(ident=ident), clock() + TRUST_SECONDS))

    def ask(*arguments):
        pass_time()
        found = auth.ask(*arguments)
        pass_time()
        return unavailable() if chance.random() < 0.2 else found

    processes = [Revocations(ask, unavailable, clock) for _ in range(3)]
    for _ in range(150):
        process = chance.choice(processes)
        try:
            process._ask_for_more()
        except ServiceUnavailable:
            pass_time()
        for ident, number, until in list(pending):
            if clock() >= until or auth.know("sessions", number):
                pending.remove((ident, number, until))
                ended.append(ident)
        for each in processes:
            assert not [ident for ident in ended[-20:] if accepts(each, ident)]


def accepts(known, ident):
    try:
        return not known.is_revoked(session(ident))
    except ServiceUnavailable:
        return False


@pytest.fixture
def following():
    """Return a function that starts to follow auth, which answers by a function."""
    stopping, threads, followed = Event(), [], []

    def follow(ask, clock=time.monotonic):
        followed.append(Revocations(ask, unavailable, clock))
        threads.append(Thread(target=followed[-1].follow, args=(stopping,)))
        threads[-1].start()
        return followed[-1]

    yield follow
    stopping.set()
    for known, thread in zip(followed, threads, strict=True):
        known.wake()
        thread.join(10)


def test_process_asks_at_once_when_it_is_woken(following, auth):
    asked = Event()

    def ask(*arguments):
        found = auth.ask(*arguments)
        asked.set()
        return found

    known = following(ask)
    assert asked.wait(10)
    asked.clear()
    known.wake()

    assert asked.wait(ASK_SECONDS / 2)


@pytest.fixture
def quiet(following, auth, clock, monkeypatch):
    """A process that nobody has asked about sessions lately; where they are used, it would ask auth all the time."""
    monkeypatch.setattr("libs.revocations.ASK_SECONDS", 0.001)
    known = following(auth.ask, clock)
    clock.sleep(QUIET_SECONDS + 1)
    known.wake()
    wait_for(lambda: not known._is_followed.is_set())
    return known


def test_process_that_nobody_asks_about_sessions_does_not_ask_auth(quiet, auth, clock):
    clock.sleep(TRUST_SECONDS)
    auth.followers.clear()

    time.sleep(0.05)  # nothing happens

    assert not auth.followers and not quiet.is_current


def test_question_after_a_quiet_time_is_answered_by_a_new_list(quiet, auth, clock):
    auth.revoke(ident="s1")
    clock.sleep(3600)

    assert (quiet.is_revoked(session("s1")), quiet.is_revoked(session("s2"))) == (True, False)
    assert quiet.is_current and quiet._is_followed.is_set()


def test_process_that_nobody_asks_hears_of_a_sign_out_all_the_same(quiet, auth):
    number = auth.revoke(ident="s1")

    quiet.wake()

    wait_for(lambda: auth.know("sessions", number))


@pytest.mark.parametrize("failure", [ServiceUnavailable("auth"), RemoteError("MethodNotFound")])
def test_process_asks_again_after_a_failure(following, auth, failure):
    failures, asked = [failure], Event()

    def ask(*arguments):
        if failures:
            raise failures.pop()
        asked.set()
        return auth.ask(*arguments)

    following(ask)

    assert asked.wait(10)
