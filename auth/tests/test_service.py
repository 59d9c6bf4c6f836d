"""The auth service as a process of its own, on real servers."""

import re
import secrets
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from cryptography.fernet import Fernet
from pymongo import MongoClient

from auth.store import UserStore
from dev.testing import nameko_service, new_vhost, repeating, wait_for
from libs.rpc import Client, RemoteError, ServiceUnavailable
from libs.schema import migrate
from libs.tokens import Signer, Verifier, new_key

AUTH, AUTH_PUBLIC = new_key("auth:1")
GATEWAY, GATEWAY_PUBLIC = new_key("gateway:1")
ORDERS, ORDERS_PUBLIC = new_key("orders:1")
PUBLIC_KEYS = f"{AUTH_PUBLIC},{GATEWAY_PUBLIC},{ORDERS_PUBLIC}"
PASSWORD = "correct horse battery"
SIGN_UPS = 40


def address():
    """Return an address that nobody else has."""
    return f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


class Caller:
    """Calls auth as the gateway does, from a network address of its own."""

    def __init__(self, client):
        self.client, self.gateway = client, Signer(GATEWAY)
        self.address = address()
        self.email = f"ana-{secrets.token_hex(6)}@example.org"

    def call(self, method, token=None, **arguments):
        return self.client.call("auth", method, arguments, token=token, timeout=10)

    def ask(self, method, **arguments):
        return self.call(method, self.gateway.mint_service("auth"), **arguments)

    def sign_up(self):
        return self.ask("sign_up", email=self.email, password=PASSWORD, address=self.address)["token"]

    def sign_in(self, password=PASSWORD, email=None, source=None):
        about = {"email": email or self.email, "password": password, "address": source or self.address}
        return self.ask("sign_in", **about)["token"]

    def refusal(self, method, token=None, **arguments):
        with pytest.raises(RemoteError) as caught:
            self.call(method, token, **arguments)
        return caught.value.name

    def tries(self, count, email=None, source=None):
        """Sign in with a wrong password again and again; return the answers."""
        return [self.answer("wrong", email, source) for _ in range(count)]

    def wait(self, source):
        """Sign in with a wrong password; return for how many seconds that is refused, rounded up."""
        with pytest.raises(RemoteError) as caught:
            self.sign_in("wrong", None, source)
        return caught.value.details.get("retry_after", 0)

    def answer(self, *arguments):
        try:
            return self.sign_in(*arguments) and "signed in"
        except RemoteError as error:
            return error.name

    def is_live(self, token):
        try:
            return bool(self.call("current_user", token))
        except RemoteError as error:
            if error.name != "Unauthenticated":
                raise
            return False


@contextmanager
def auth(servers, module):
    """Run the service of a module; yield its process, a client and its database."""
    mongo_url = servers.mongo_url(f"test_{secrets.token_hex(6)}")
    with (
        new_vhost(servers) as amqp_url,
        closing(Client(amqp_url, "gateway")) as client,
        MongoClient(mongo_url) as mongo,
    ):
        settings = {
            "AMQP_URI": amqp_url,
            "MONGO_URL": mongo_url,
            "SIGNING_KEY": AUTH,
            "TOKEN_PUBLIC_KEYS": PUBLIC_KEYS,
            "SIGN_UPS_PER_ADDRESS": SIGN_UPS,
            "ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "PUBLIC_URL": "http://localhost:8000",
            "max_workers": 50,
        }
        migrate(mongo.get_default_database(), UserStore.schema)
        with nameko_service(f"{module}:AuthService", "rpc-auth", **settings) as process:
            yield process, client, mongo.get_default_database()
        mongo.drop_database(mongo.get_default_database().name)


@pytest.fixture(scope="module")
def running(servers):
    with auth(servers, "auth.tests.cheap_service") as running:
        yield running


@pytest.fixture(scope="module")
def in_production(servers):
    """The same, with passwords that cost what they do in production."""
    with auth(servers, "auth.service") as running:
        yield running


@pytest.fixture
def caller(running):
    return Caller(running[1])


def test_attack_from_one_address_is_stopped_and_keeps_nobody_else_out(caller):
    caller.sign_up()
    attacker = address()

    assert caller.tries(5, source=attacker) == ["WrongCredentials"] * 5

    wait_for(lambda: caller.wait(attacker) > 1, what="the wait to double")
    assert caller.answer(PASSWORD, None, attacker) == "TooManyAttempts"
    assert caller.answer(PASSWORD, None, address()) == "signed in"
    assert caller.answer("wrong", f"bo-{caller.email}", attacker) == "WrongCredentials"


def test_unknown_account_is_throttled_like_a_known_one(caller):
    caller.sign_up()

    known = caller.tries(6, source=address())
    unknown = caller.tries(6, email=f"nobody-{caller.email}", source=address())

    assert known == unknown


def test_who_signed_up_in_a_browser_that_converts_the_domain_signs_in_with_an_umlaut(caller):
    caller.email = "karl@xn--mller-kva.de"
    token = caller.sign_up()
    about = {"email": "Karl@m\u00fcller.de", "password": PASSWORD, "address": address()}

    assert caller.answer(PASSWORD, "karl@m\u00fcller.de") == "signed in"
    assert caller.refusal("sign_up", caller.gateway.mint_service("auth"), **about) == "EmailInUse"
    assert caller.call("current_user", token)["email"] == "karl@m\u00fcller.de"


def test_guesses_count_for_the_account_in_whichever_form_its_address_is_typed(caller):
    caller.email = "karla@m\u00fcller.de"
    caller.sign_up()
    stranger = address()

    tries = [caller.answer("wrong", f"karla@{host}", stranger) for host in ("m\u00fcller.de", "xn--mller-kva.de") * 3]

    assert tries == ["WrongCredentials"] * 5 + ["TooManyAttempts"]


def test_retry_after_of_a_refusal_is_true(caller):
    caller.sign_up()
    caller.tries(5)

    with pytest.raises(RemoteError) as caught:
        caller.sign_in()
    assert caught.value.details == {"retry_after": 1}

    time.sleep(1.05)
    assert caller.sign_in()


def test_address_that_tries_many_accounts_is_stopped_but_not_its_users(caller):
    caller.sign_up()
    for number in range(50):
        caller.answer("wrong", f"{number}@example.org")

    assert caller.answer("wrong", "one-more@example.org") == "TooManyAttempts"
    assert caller.answer(PASSWORD) == "signed in"


def test_account_attacked_from_everywhere_still_opens_where_its_user_was_before(caller):
    caller.sign_up()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: caller.answer("wrong", None, address()), range(60)))

    # on a slow machine the first waits are over by now; each attempt that is accepted doubles the next
    assert any(caller.answer("wrong", None, address()) == "TooManyAttempts" for _ in range(7))
    assert caller.answer(PASSWORD) == "signed in"


def test_probing_which_emails_are_in_use_is_throttled(caller):
    caller.sign_up()
    about = {"email": caller.email, "password": PASSWORD, "address": address()}

    refusals = [caller.refusal("sign_up", caller.gateway.mint_service("auth"), **about) for _ in range(22)]

    assert refusals == ["EmailInUse"] * 20 + ["TooManyAttempts"] * 2


def test_forty_people_sign_up_at_once_at_one_address_and_only_more_than_the_limit_are_throttled(caller):
    home = address()

    def sign_up(number):
        person = {"email": f"{number}-{caller.email}", "password": PASSWORD, "address": home}
        with suppress(ServiceUnavailable):
            try:
                return caller.ask("sign_up", **person) and "made"
            except RemoteError as error:
                return error.name
        return sign_up(number)  # too many waited for their passwords to be hashed

    with ThreadPoolExecutor(SIGN_UPS) as pool:
        assert set(pool.map(sign_up, range(SIGN_UPS))) == {"made"}

    assert [sign_up(SIGN_UPS + number) for number in range(3)] == ["TooManyAttempts"] * 3


def test_only_the_gateway_may_pass_an_address(caller):
    token = caller.sign_up()
    about = {"email": caller.email, "password": PASSWORD, "address": address()}

    assert caller.refusal("sign_in", **about) == "Unauthenticated"
    assert caller.refusal("sign_in", token, **about) == "Forbidden"
    assert caller.refusal("sign_in", Signer(ORDERS).mint_service("auth"), **about) == "Forbidden"


def test_another_password_ends_all_other_sessions(caller):
    first, second = caller.sign_up(), caller.sign_in()

    third = caller.call("change_password", first, current=PASSWORD, new="another long one")["token"]

    assert [caller.is_live(token) for token in (first, second, third)] == [False, False, True]
    assert caller.answer(PASSWORD) == "WrongCredentials"
    assert caller.answer("another long one") == "signed in"


def test_only_who_knows_the_password_changes_it_and_only_to_an_acceptable_one(caller):
    token = caller.sign_up()

    refusals = [
        caller.refusal("change_password", token, current="wrong", new="another long one"),
        caller.refusal("change_password", token, current=PASSWORD, new="password1"),
        caller.refusal("change_password", token, current=PASSWORD, new=caller.email.upper()),
        caller.refusal("change_password", None, current=PASSWORD, new="another long one"),
    ]

    assert refusals == ["WrongPassword", "InvalidPassword", "InvalidPassword", "Unauthenticated"]
    assert caller.is_live(token)


def test_weak_password_is_refused_at_its_field_with_the_reason(caller):
    about = {"email": caller.email, "address": caller.address}

    with pytest.raises(RemoteError) as caught:
        caller.ask("sign_up", password="Summer2026!", **about)

    assert [error["field"] for error in caught.value.details["errors"]] == ["password"]
    assert "easy to guess" in caught.value.details["errors"][0]["message"]


def test_user_with_an_invalid_email_reads_only_later_that_the_password_is_weak(caller):
    """Such sign-ups count towards no limit, so they must cost next to nothing."""
    with pytest.raises(RemoteError) as caught:
        caller.ask("sign_up", email="x", password="Summer2026!", address=caller.address)

    assert [error["field"] for error in caught.value.details["errors"]] == ["email"]


def test_sign_ups_with_weak_passwords_are_throttled_before_they_are_estimated(caller):
    about = {"email": caller.email, "password": "Summer2026!", "address": caller.address}

    refusals = [caller.refusal("sign_up", caller.gateway.mint_service("auth"), **about) for _ in range(SIGN_UPS + 2)]

    assert refusals == ["InvalidPassword"] * SIGN_UPS + ["TooManyAttempts"] * 2


def test_weak_password_of_an_earlier_version_keeps_working_until_it_is_changed(caller, running):
    caller.sign_up()
    kept = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash("letmein123")
    running[2].users.update_one({"email": caller.email}, {"$set": {"password_hash": kept}})

    token = caller.sign_in("letmein123")

    assert caller.refusal("change_password", token, current="letmein123", new="letmein124") == "InvalidPassword"
    assert caller.call("change_password", token, current="letmein123", new="another long one")


def test_guessing_the_current_password_in_a_stolen_session_is_stopped(caller):
    token = caller.sign_up()

    refusals = [caller.refusal("change_password", token, current="wrong", new="another long one") for _ in range(7)]

    assert refusals == ["WrongPassword"] * 5 + ["TooManyAttempts"] * 2


def test_signing_out_everywhere_ends_every_session_and_the_list_says_so(caller):
    first, second = caller.sign_up(), caller.sign_in()
    claims = Verifier(PUBLIC_KEYS).verify(first)

    caller.call("sign_out_everywhere", first)

    assert not caller.is_live(first) and not caller.is_live(second)
    assert caller.is_live(caller.sign_in())
    ended = caller.ask("revocations", process="p1", sessions=0, users=0)["users"]
    assert (claims.subject, 1) in [(user["id"], user["generation"]) for user in ended]
    about = {"session_id": claims.session_id, "user_id": claims.subject, "generation": 0}
    assert caller.ask("is_revoked", **about) and not caller.ask("is_revoked", **about | {"generation": 1})


def test_ended_session_can_do_nothing(caller):
    token = caller.sign_up()
    caller.call("sign_out", token)

    assert caller.refusal("sign_out_everywhere", token) == "Unauthenticated"
    assert caller.refusal("change_password", token, current=PASSWORD, new="another long one") == "Unauthenticated"


def test_hash_of_older_parameters_is_replaced_at_sign_in(in_production):
    _, client, mongo = in_production
    caller = Caller(client)
    caller.sign_up()
    older = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    mongo.users.update_one({"email": caller.email}, {"$set": {"password_hash": older}})

    assert caller.sign_in()

    renewed = mongo.users.find_one({"email": caller.email})["password_hash"]
    assert renewed != older and "m=19456,t=2,p=1" in renewed
    assert caller.sign_in()


@pytest.mark.parametrize("typed", ["cafe\u0301 au lait", "ｃａｆé au lait"])
def test_hash_of_a_password_as_it_was_typed_is_replaced_at_sign_in(caller, running, typed):
    mongo, normal = running[2], "caf\u00e9 au lait"
    caller.sign_up()
    older = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(typed)
    mongo.users.update_one({"email": caller.email}, {"$set": {"password_hash": older}})

    assert caller.sign_in(typed)

    assert mongo.users.find_one({"email": caller.email})["password_hash"] != older
    assert caller.sign_in(normal) and caller.sign_in(typed)


def test_current_password_may_be_typed_on_another_system(caller):
    token = caller.sign_up()
    change = caller.call("change_password", token, current=PASSWORD, new="cafe\u0301 au lait")

    assert caller.call("change_password", change["token"], current="caf\u00e9 au lait", new=PASSWORD)


def test_user_signs_in_with_an_address_pasted_with_invisible_characters(caller):
    caller.sign_up()

    assert caller.sign_in(email=f"\ufeff{caller.email}\u200b")


def test_answers_and_work_do_not_reveal_which_accounts_exist(in_production):
    process, client, _ = in_production
    caller = Caller(client)
    caller.sign_up()

    known = work(process, lambda: caller.answer("wrong", None, address()))
    unknown = work(process, lambda: caller.answer("wrong", f"nobody-{caller.email}", address()))

    assert known[0] == unknown[0] == ["WrongCredentials"] * 20
    assert 0.6 < known[1] / unknown[1] < 1.6


def work(process, attempt):
    """Return the answers to twenty attempts and the processor time, in ticks, that the service spent on them."""
    before = ticks(process)
    answers = [attempt() for _ in range(20)]
    return answers, ticks(process) - before


def ticks(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.fixture(scope="module")
def flood(in_production):
    """Sixty sign-ins and sign-ups at once: their answers, and how long other calls took."""
    _, client, _ = in_production
    someone, seconds = Caller(client), []
    someone.sign_up()

    def watch():
        began = time.monotonic()
        someone.ask("is_revoked", session_id="s1")
        seconds.append(time.monotonic() - began)

    attempts = [lambda: someone.answer(PASSWORD, None, address()), lambda: Caller(client).sign_up() and "signed up"]
    with repeating([watch]), ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(answer_or_busy, 30 * attempts))
    return answers, seconds


def megabytes(process, file, name):
    """Return what Linux says of a process's memory; see proc(5)."""
    return int(re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{process.pid}/{file}").read_text(), re.M)[1]) / 1000


def answer_or_busy(attempt):
    try:
        return attempt()
    except ServiceUnavailable:
        return "busy"


def test_service_answers_other_calls_during_a_flood_of_sign_ins_and_sign_ups(flood):
    answers, seconds = flood

    assert set(answers) == {"signed in", "signed up", "busy"}
    assert statistics.median(seconds) < 0.5


@pytest.mark.usefixtures("flood")
def test_service_stays_small_under_a_flood_of_sign_ins_and_sign_ups(in_production):
    process, *_ = in_production
    own = megabytes(process, "smaps_rollup", "Pss")  # its own memory, and its share of what others have too
    given_back = megabytes(process, "status", "VmHWM") - megabytes(process, "status", "VmRSS")  # since it was largest

    assert own + given_back < 100
    assert given_back > 15  # of the 19 that hashing takes
