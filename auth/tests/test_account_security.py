"""Second factors, passkeys, and the confirmations before they change: the service inside this process, on MongoDB."""

import json
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pyotp
import pytest
from cryptography.fernet import Fernet
from webauthn.helpers import bytes_to_base64url

from auth.seals import Seals
from auth.service import AuthService
from dev.passkeys import SoftwarePasskey
from libs.clock import utc_now
from libs.rpc import RemoteError
from tests.in_process import services_in_process

PASSWORD = "correct horse battery"
SITE = "http://localhost:8000"
KEY = Fernet.generate_key().decode()


@pytest.fixture(scope="module")
def auth(servers):
    with services_in_process(servers, services=(AuthService,), ENCRYPTION_KEY=KEY) as (client, signers):
        store = client.services["auth"].store
        store.is_revoked = lambda *session: False  # no session ends here, and asking takes a tenth of a second
        yield SimpleNamespace(client=client, signers=signers, database=store.users.collection.database)


class User:
    """A user with a session; `code` numbers the periods of the authenticator app from the last one: 0, 1 and 2."""

    def __init__(self, auth):
        self.auth = auth
        self.email = f"ana-{secrets.token_hex(6)}@example.org"
        self.address = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
        signed_up = self.as_gateway("sign_up", email=self.email, password=PASSWORD, address=self.address)
        self.id, self.token, self.proof = signed_up["user"]["id"], signed_up["token"], None

    def call(self, method, token=None, **arguments):
        return self.auth.client.call("auth", method, arguments, token=token or self.token)

    def as_gateway(self, method, **arguments):
        return self.call(method, self.auth.signers["gateway"].mint_service("auth"), **arguments)

    def refusal(self, method, token=None, **arguments):
        with pytest.raises(RemoteError) as caught:
            self.call(method, token, **arguments)
        return caught.value.name

    def sign_in(self, password=PASSWORD, address=None, **more):
        about = {"email": self.email, "password": password, "address": address or self.address}
        return self.as_gateway("sign_in", **about, **more)

    def answer(self, **arguments):
        try:
            return self.sign_in(**arguments) and "signed in"
        except RemoteError as error:
            return error.name

    def pending(self):
        with pytest.raises(RemoteError) as caught:
            self.sign_in()
        return caught.value.details["pending"]

    def finish(self, pending, code, address=None):
        try:
            about = {"pending": pending, "code": code, "address": address or self.address}
            return self.as_gateway("sign_in_with_code", **about) and "signed in"
        except RemoteError as error:
            return error.name

    def turn_on(self, setup=None):
        """Set up an app, with the code of the period before the present one; return the recovery codes."""
        new = self.call("new_authenticator", setup=setup)
        self.began, self.app = time.time() - 30, pyotp.TOTP(new["secret"])
        found = self.call("turn_on_authenticator", setup=new["setup"], code=self.code(0))
        self.proof = found["proof"]
        return found["recovery_codes"]

    def change(self, method, **arguments):
        """Call with the proof that the set-up of the app gave, if there was one."""
        return self.call(method, proof=self.proof, **arguments)

    def code(self, period):
        return self.app.at(self.began + 30 * period)

    def later(self, minutes=11):
        """Return the token of a session that began so long ago."""
        began = int(time.time()) - 60 * minutes
        return self.auth.signers["auth"].mint(self.id, 36000, email=self.email, generation=0, iat=began)

    def security(self):
        return self.change("account_security")

    def add_passkey(self, name="Phone", **options):
        passkey, new = SoftwarePasskey(SITE, **options), self.change("new_passkey")
        self.change("add_passkey", ceremony=new["ceremony"], answer=passkey.create(new["options"]), name=name)
        return passkey

    def use(self, passkey, method="sign_in_with_passkey", **changes):
        """Sign in with a passkey; return the session, or the error's name."""
        asked = self.call("request_passkey")
        about = {"ceremony": asked["ceremony"], "answer": passkey.get(asked["options"]), "address": self.address}
        try:
            return self.as_gateway("sign_in_with_passkey", **about | changes)
        except RemoteError as error:
            return error.name


@pytest.fixture
def ana(auth):
    return User(auth)


def whats(user):
    return [change["what"] for change in user.security()["changes"]]


def test_password_alone_no_longer_signs_in_once_the_app_is_set_up(ana):
    ana.turn_on()

    assert ana.answer() == "SecondFactorNeeded"
    assert ana.answer(code="") == "SecondFactorNeeded"
    assert ana.answer(code="000000") == "WrongCode"
    assert ana.answer(password="wrong", code=ana.code(1)) == "WrongCredentials"
    assert ana.answer(code=ana.code(1)) == "signed in"


def test_code_can_be_entered_after_the_password(ana):
    ana.turn_on()
    pending = ana.pending()

    assert ana.finish(pending, "000000") == "WrongCode"
    assert ana.finish(pending, "") == "WrongCode"
    assert ana.finish(pending, f" {ana.code(1)[:3]} {ana.code(1)[3:]}") == "signed in"


@pytest.mark.parametrize("zero", ["\u0660", "\u06f0", "\u0966", "\uff10"])
def test_code_may_be_typed_in_the_digits_of_another_script(ana, zero):
    ana.turn_on()
    typed = "".join(chr(ord(zero) + int(digit)) for digit in ana.code(1))

    assert ana.answer(code=f"\u200f{typed[:3]} {typed[3:]}\u200e") == "signed in"


def test_code_is_accepted_once_only_even_the_one_of_the_set_up(ana):
    ana.turn_on()

    assert ana.answer(code=ana.code(0)) == "WrongCode"
    assert [ana.answer(code=ana.code(1)), ana.answer(code=ana.code(1))] == ["signed in", "WrongCode"]
    assert [ana.answer(code=ana.code(2)), ana.answer(code=ana.code(1))] == ["signed in", "WrongCode"]


def test_recovery_code_signs_in_once(ana):
    first, second, third, *_ = ana.turn_on()

    assert ana.answer(code=first) == "signed in"
    assert ana.answer(code=first) == "WrongCode"
    assert ana.finish(ana.pending(), second.replace("-", "").upper()) == "signed in"
    assert ana.answer(code=third.replace("-", "\u2013")) == "signed in"
    assert ana.security()["recovery_codes"] == 7
    assert whats(ana) == [*["recovery_code_used"] * 3, "authenticator_on"]


def test_new_recovery_codes_end_the_old_ones(ana):
    old, *_ = ana.turn_on()

    new, *_ = ana.change("renew_recovery_codes")["recovery_codes"]

    assert [ana.answer(code=old), ana.answer(code=new)] == ["WrongCode", "signed in"]


@pytest.mark.parametrize("period", [0, 1, 20])
def test_recovery_codes_stay_valid_when_the_set_up_of_the_app_is_sent_again(ana, period):
    setup = ana.call("new_authenticator")["setup"]
    first, *_ = ana.turn_on(setup)

    again = {"setup": setup, "code": ana.code(period)}

    assert [ana.refusal("turn_on_authenticator", proof=proof, **again) for proof in (ana.proof, None)] == [
        "AuthenticatorInUse",
        "AuthenticatorInUse",
    ]
    assert (ana.answer(code=first), whats(ana)) == ("signed in", ["recovery_code_used", "authenticator_on"])


def test_set_up_of_an_app_sent_twice_at_once_makes_recovery_codes_once(ana, auth, monkeypatch):
    new, factors = ana.call("new_authenticator"), auth.client.services["auth"].store.factors

    def turn_on(_number):
        try:
            return ana.call("turn_on_authenticator", setup=new["setup"], code=pyotp.TOTP(new["secret"]).now())
        except RemoteError as error:
            return error.name

    with monkeypatch.context() as patched, ThreadPoolExecutor(2) as pool:
        patched.setattr(factors, "second_factor", meeting(factors.second_factor, 2))
        refused, done = sorted(pool.map(turn_on, range(2)), key=lambda each: isinstance(each, dict))

    assert refused == "AuthenticatorInUse"
    assert ana.answer(code=done["recovery_codes"][0]) == "signed in"


def test_guessing_codes_is_stopped_for_who_has_the_password(ana):
    ana.turn_on()
    pending, stranger = ana.pending(), "2001:db8::7"

    tries = [ana.finish(pending, "000000", stranger) for _ in range(12)]  # waits double, on a slow machine too

    assert tries[:5] == ["WrongCode"] * 5 and "TooManyAttempts" in tries
    assert ana.answer(code="000000", address=stranger) == "TooManyAttempts"
    assert ana.answer(code=ana.code(1)) == "signed in"


def test_guessing_codes_from_many_addresses_is_stopped_too(ana):
    ana.turn_on()
    pending = ana.pending()

    tries = [ana.finish(pending, "000000", f"2001:db8:{number}::1") for number in range(20)]

    assert tries[:10] == ["WrongCode"] * 10 and "TooManyAttempts" in tries
    assert ana.finish(pending, ana.code(1)) == "signed in"


def test_unfinished_sign_in_is_no_session_and_ends_with_the_password(ana):
    ana.turn_on()
    pending = ana.pending()

    assert ana.refusal("current_user", pending) == "Unauthenticated"
    ana.call("change_password", current=PASSWORD, new="another long one", code=ana.code(1))
    assert ana.finish(pending, ana.code(2)) == "TookTooLong"


@pytest.mark.parametrize("pending", ["", "x", None, {"$ne": None}, "\ud800"])
def test_forged_beginning_of_a_sign_in_is_refused(ana, pending):
    assert ana.finish(pending, "000000") == "TookTooLong"


def test_what_was_sealed_for_one_purpose_is_good_for_no_other(ana):
    setup = ana.call("new_authenticator")["setup"]
    proof = ana.call("confirm", password=PASSWORD)["proof"]
    ceremony = ana.call("request_passkey")["ceremony"]

    assert {ana.finish(each, "000000") for each in (setup, proof, ceremony)} == {"TookTooLong"}
    assert ana.refusal("new_passkey", ana.later(), proof=setup) == "ConfirmationNeeded"


CHANGES = {
    "new_authenticator": {},
    "turn_on_authenticator": {"setup": "x", "code": "000000"},
    "turn_off_authenticator": {},
    "renew_recovery_codes": {},
    "new_passkey": {},
    "add_passkey": {"ceremony": "x", "answer": "{}", "name": "Phone"},
    "remove_passkey": {"passkey_id": "x"},
}


@pytest.mark.parametrize("method", CHANGES)
def test_nothing_changes_in_a_session_that_was_not_confirmed_lately(ana, auth, method):
    other = User(auth).call("confirm", password=PASSWORD)["proof"]
    elsewhere = ana.call("confirm", password=PASSWORD)["proof"]

    refusals = [ana.refusal(method, ana.later(), proof=proof, **CHANGES[method]) for proof in (None, other, elsewhere)]

    assert refusals == ["ConfirmationNeeded"] * 3


def by_passkey(user, passkey):
    asked = user.call("request_passkey")
    return {"ceremony": asked["ceremony"], "answer": passkey.get(asked["options"])}


def test_password_or_passkey_confirms_an_older_session_of_who_has_no_app(ana):
    passkey, token = ana.add_passkey(), ana.later()

    for how in ({"password": PASSWORD}, by_passkey(ana, passkey)):
        assert ana.call("new_passkey", token, proof=ana.call("confirm", token, **how)["proof"])
    proof = ana.call("confirm", token, password=PASSWORD)["proof"]
    assert ana.call("account_security", token, proof=proof)["is_confirmed"]
    assert not ana.call("account_security", token)["is_confirmed"]


def test_who_has_an_app_confirms_by_the_password_and_a_code_or_by_a_passkey(ana):
    recovery_code, *_ = ana.turn_on()
    passkey, token = ana.add_passkey(), ana.later()
    both = ({"password": PASSWORD, "code": code} for code in (ana.code(1), recovery_code))

    for how in (*both, by_passkey(ana, passkey)):
        assert ana.call("new_passkey", token, proof=ana.call("confirm", token, **how)["proof"])


@pytest.mark.parametrize("how", [{"password": PASSWORD}, {"code": 1}, {"password": PASSWORD, "code": ""}, {}])
def test_neither_the_password_alone_nor_a_code_alone_confirms_who_has_an_app(ana, how):
    ana.turn_on()
    if how.get("code"):
        how = {"code": ana.code(how["code"])}

    assert ana.refusal("confirm", ana.later(), **how) == "IncompleteConfirmation"
    assert ana.answer(code=ana.code(1)) == "signed in"  # and no code was used up


def test_wrong_password_beside_a_code_uses_no_code_up(ana):
    ana.turn_on()

    assert ana.refusal("confirm", ana.later(), password="wrong", code=ana.code(1)) == "WrongPassword"
    assert ana.refusal("confirm", ana.later(), password=PASSWORD, code="000000") == "WrongCode"
    assert ana.call("confirm", ana.later(), password=PASSWORD, code=ana.code(1))


def test_session_from_before_the_app_cannot_turn_it_off_without_a_code(ana):
    elsewhere = ana.sign_in()["token"]
    proof = ana.call("confirm", elsewhere, password=PASSWORD)["proof"]
    ana.turn_on()

    for given in (None, proof):
        assert ana.refusal("turn_off_authenticator", elsewhere, proof=given) == "ConfirmationNeeded"
    both = ana.call("confirm", elsewhere, password=PASSWORD, code=ana.code(1))["proof"]
    ana.call("turn_off_authenticator", elsewhere, proof=both)
    assert ana.answer() == "signed in"


def test_sign_in_with_a_code_confirms_the_session_that_it_begins(ana, auth):
    ana.turn_on()
    auth.database.second_factors.update_one({"_id": ana.id}, {"$set": {"since": utc_now() - timedelta(seconds=2)}})

    session = ana.sign_in(code=ana.code(1))

    ana.call("turn_off_authenticator", session["token"])
    assert ana.answer() == "signed in"


def test_password_of_who_has_an_app_is_changed_with_a_code_only(ana):
    ana.turn_on()
    change = {"current": PASSWORD, "new": "another long one"}

    assert ana.refusal("change_password", **change) == "IncompleteConfirmation"
    assert ana.refusal("change_password", **change, code="000000") == "WrongCode"
    assert ana.refusal("change_password", **change | {"new": "password"}, code=ana.code(1)) == "InvalidPassword"
    assert ana.call("change_password", **change, code=ana.code(1))["token"]


def test_nobody_confirms_by_guessing_or_with_the_passkey_of_somebody_else(ana, auth):
    bo = User(auth)
    answer = by_passkey(ana, bo.add_passkey())

    assert ana.refusal("confirm", **answer) == "WrongPasskey"
    assert "TooManyAttempts" in [ana.refusal("confirm", password="wrong") for _ in range(9)]


def test_guessing_codes_beside_the_right_password_of_a_stolen_session_is_stopped(ana):
    ana.turn_on()

    tries = [ana.refusal("confirm", password=PASSWORD, code="000000") for _ in range(9)]

    assert tries[:5] == ["WrongCode"] * 5 and "TooManyAttempts" in tries


def test_app_that_was_turned_off_is_needed_no_more(ana):
    ana.turn_on()

    ana.change("turn_off_authenticator")

    assert ana.answer() == "signed in"
    assert ana.security() | {"changes": []} == {
        "authenticator": None,
        "recovery_codes": 0,
        "passkeys": [],
        "changes": [],
        "is_confirmed": True,
    }
    assert whats(ana) == ["authenticator_off", "authenticator_on"]


def test_wrong_code_sets_no_app_up(ana):
    new = ana.call("new_authenticator")

    assert ana.refusal("turn_on_authenticator", setup=new["setup"], code="000000") == "WrongCode"
    assert ana.call("new_authenticator", setup=new["setup"])["secret"] == new["secret"]
    assert ana.answer() == "signed in"


def test_set_up_of_one_user_is_of_no_use_to_another(ana, auth):
    setup = User(auth).call("new_authenticator")["setup"]

    assert ana.refusal("new_authenticator", setup=setup) == "TookTooLong"


def test_thief_of_the_database_finds_neither_secrets_nor_codes(ana, auth):
    codes = ana.turn_on()

    kept = str(auth.database.second_factors.find_one({"_id": ana.id}))

    assert ana.app.secret not in kept
    assert not [code for code in codes if code in kept or code.replace("-", "") in kept]


def test_operator_turns_the_app_off_of_a_user_who_lost_it(ana, auth):
    ana.turn_on()
    first, second = (auth.signers["operator"].mint_call("auth.remove_second_factor") for _ in range(2))

    assert ana.call("remove_second_factor", first, email=ana.email.upper(), reason="phone lost") is True
    assert ana.call("remove_second_factor", second, email=ana.email, reason="phone lost") is False
    assert ana.answer() == "signed in"
    assert whats(ana)[0] == "removed_by_operator"


def test_operator_removes_the_app_of_a_user_by_their_id_and_is_told_when_there_is_no_such_user(ana):
    """An id, or an address that nobody has, was answered as if that user had no app."""
    ana.turn_on()

    assert as_operator(ana, "remove_second_factor", email=ana.id, reason="phone lost") is True
    for nobody in ("nobody@example.org", "f" * 24):
        with pytest.raises(RemoteError, match="UserNotFound"):
            as_operator(ana, "remove_second_factor", email=nobody, reason="phone lost")


def as_operator(ana, method, **arguments):
    token = ana.auth.signers["operator"].mint_call(f"auth.{method}")
    return ana.call(method, token, **arguments)


def logged(caplog, event):
    return [(each.outcome, getattr(each, "what", "")) for each in caplog.records if getattr(each, "event", "") == event]


def test_app_is_removed_for_no_operator_who_does_not_say_why(ana):
    ana.turn_on()

    with pytest.raises(RemoteError, match="reason must say why"):
        as_operator(ana, "remove_second_factor", email=ana.email, reason=" ")
    assert ana.answer() == "SecondFactorNeeded"


def test_log_does_not_say_that_an_app_was_removed_where_there_is_none(ana, caplog):
    caplog.clear()
    caplog.set_level("INFO", "security")

    ana.change("turn_off_authenticator")
    as_operator(ana, "remove_second_factor", email=ana.email, reason="phone lost")

    whats = [what for _, what in logged(caplog, "second_factor")]
    assert whats == ["no authenticator app to turn off", "nothing for an operator to remove"]


def test_log_does_not_say_that_a_locked_user_has_signed_in(ana, caplog):
    passkey = ana.add_passkey()
    ana.turn_on()
    as_operator(ana, "lock", user=ana.id, reason="reported as stolen")
    pending = ana.pending()
    caplog.clear()
    caplog.set_level("INFO", "security")

    refusals = [ana.answer(code=ana.code(1)), ana.finish(pending, ana.code(2)), ana.use(passkey)]

    assert refusals == [outcome for outcome, _ in logged(caplog, "sign_in")] == ["UserLocked"] * 3


def test_passkey_signs_in_without_password_and_code(ana):
    passkey = ana.add_passkey()
    ana.turn_on()

    session = ana.use(passkey)

    assert session["user"] == {"id": ana.id, "email": ana.email}
    assert ana.call("current_user", session["token"])["id"] == ana.id
    assert ana.security()["passkeys"][0]["used_at"]


def test_user_has_several_passkeys_with_names_and_removes_one(ana):
    phone, laptop = ana.add_passkey(" Phone "), ana.add_passkey("Laptop")
    shown = ana.security()["passkeys"]

    ana.change("remove_passkey", passkey_id=shown[0]["id"])

    assert [passkey["name"] for passkey in shown] == ["Phone", "Laptop"]
    assert ana.use(phone) == "WrongPasskey" and ana.use(laptop)["user"]["id"] == ana.id
    assert ana.refusal("remove_passkey", passkey_id=shown[0]["id"]) == "PasskeyNotFound"
    assert [(each["what"], each["about"]) for each in ana.security()["changes"]] == [
        *(("passkey_removed", "Phone"), ("passkey_added", "Laptop"), ("passkey_added", "Phone"))
    ]


def test_nobody_removes_the_passkey_of_somebody_else(ana, auth):
    ana.add_passkey()

    refusal = User(auth).refusal("remove_passkey", passkey_id=ana.security()["passkeys"][0]["id"])

    assert (refusal, len(ana.security()["passkeys"])) == ("PasskeyNotFound", 1)


def test_without_passkeys_and_app_the_password_still_signs_in(ana):
    ana.add_passkey()
    ana.turn_on()

    ana.change("remove_passkey", passkey_id=ana.security()["passkeys"][0]["id"])
    ana.change("turn_off_authenticator")

    assert ana.answer() == "signed in"


def test_answer_of_a_passkey_is_accepted_once_only(ana):
    passkey, asked = ana.add_passkey(counts=False), ana.call("request_passkey")
    answer = passkey.get(asked["options"])

    repeated = [ana.use(passkey, ceremony=asked["ceremony"], answer=answer) for _ in range(2)]

    assert repeated[0]["user"]["id"] == ana.id and repeated[1] == "WrongPasskey"


def test_answers_of_other_sites_devices_and_keys_are_refused(ana):
    passkey = ana.add_passkey()

    def changed(**fields):
        answer = json.loads(passkey.get(asked["options"]))
        return ana.use(passkey, ceremony=asked["ceremony"], answer=json.dumps(answer | fields))

    asked = ana.call("request_passkey")
    assert ana.use(SoftwarePasskey(SITE)) == "WrongPasskey"
    passkey.origin = "http://evil.example"
    assert ana.use(passkey) == "WrongPasskey"
    passkey.origin = SITE
    assert ana.use(passkey, ceremony=ana.call("request_passkey")["ceremony"]) == "WrongPasskey"
    halved = '{"id": "\\ud800", "response": {}}'
    for wrong in ("", "{}", "[]", "null", '{"id": 1, "response": {"userHandle": 7}}', "[" * 5000, "\ud800", halved):
        assert ana.use(passkey, answer=wrong) in ("WrongPasskey", "InvalidArguments")
    assert changed(type="password") == changed(rawId="AAAA") == "WrongPasskey"
    assert ana.use(passkey)["user"]["id"] == ana.id


def test_device_that_anybody_can_use_makes_no_passkey(ana):
    with pytest.raises(RemoteError, match="not accepted"):
        ana.add_passkey(verifies_user=False)


def test_passkey_needs_a_name_and_is_added_once(ana):
    passkey, new = SoftwarePasskey(SITE), ana.call("new_passkey")
    answer = {"ceremony": new["ceremony"], "answer": passkey.create(new["options"])}

    assert ana.refusal("add_passkey", **answer, name=" ") == "InvalidPasskeyName"
    assert ana.refusal("add_passkey", **answer, name="x" * 51) == "InvalidPasskeyName"
    ana.call("add_passkey", **answer, name="Phone")
    assert ana.refusal("add_passkey", **answer, name="Phone") == "WrongPasskey"


def test_what_was_asked_for_one_user_makes_no_passkey_of_another(ana, auth):
    passkey, new = SoftwarePasskey(SITE), User(auth).call("new_passkey")
    answer = {"ceremony": new["ceremony"], "answer": passkey.create(new["options"])}

    assert ana.refusal("add_passkey", **answer, name="Phone") == "WrongPasskey"


def meeting(read, number):
    """Return `read`, whose first results in so many threads are returned at the same moment."""
    barrier, met = threading.Barrier(number, timeout=20), threading.local()

    def met_once(*arguments):
        found = read(*arguments)
        if not getattr(met, "once", False):
            met.once = True
            barrier.wait()
        return found

    return met_once


def test_user_has_ten_passkeys_at_most_even_when_many_are_added_at_once(ana, auth, monkeypatch):
    begun = [(SoftwarePasskey(SITE), ana.call("new_passkey")) for _ in range(12)]
    factors = auth.client.services["auth"].store.factors

    def add(passkey, new):
        try:
            ana.call("add_passkey", ceremony=new["ceremony"], answer=passkey.create(new["options"]), name="Phone")
        except RemoteError as error:
            return error.name

    with monkeypatch.context() as patched, ThreadPoolExecutor(12) as pool:
        patched.setattr(factors, "passkeys_of", meeting(factors.passkeys_of, 12))
        outcomes = list(pool.map(lambda each: add(*each), begun))

    assert sorted(outcomes, key=str) == [*[None] * 10, "TooManyPasskeys", "TooManyPasskeys"]
    assert len(ana.security()["passkeys"]) == 10
    assert ana.refusal("new_passkey") == "TooManyPasskeys"


def test_passkeys_of_an_earlier_version_count_too_and_their_places_are_found(ana, auth):
    for number in range(9):
        known = bytes_to_base64url(f"{ana.id} {number}".encode())
        auth.database.passkeys.insert_one({"_id": known, "user_id": ana.id, "created_at": utc_now()})

    ana.add_passkey()

    assert ana.refusal("new_passkey") == "TooManyPasskeys"


def test_trying_passkeys_from_one_address_is_stopped(ana):
    passkey, address = SoftwarePasskey(SITE), "2001:db8:1:2::1"

    tries = [ana.use(passkey, address=address) for _ in range(60)]

    assert tries[:50] == ["WrongPasskey"] * 50 and "TooManyAttempts" in tries


def test_changed_password_is_among_the_changes_that_the_user_sees(ana):
    changed = ana.call("change_password", current=PASSWORD, new="another long one")

    assert ana.call("account_security", changed["token"])["changes"][0]["what"] == "password_changed"


def test_rotation_of_the_key_of_cookies_is_logged_when_the_gateway_says_so(ana, caplog):
    caplog.set_level("INFO", "security")

    for fingerprints in (["old"], ["old"], ["new", "old"]):
        ana.as_gateway("note_keys", fingerprints=fingerprints)

    (event,) = [each for each in caplog.records if getattr(each, "event", "") == "key_rotation"]
    assert (event.who, event.what) == ("gateway", "GATEWAY_SECRET_KEY: new, old; before: old")
    for wrong in ("old", [1], ["old"] * 101):
        with pytest.raises(RemoteError, match="fingerprint"):
            ana.as_gateway("note_keys", fingerprints=wrong)


@pytest.fixture
def with_lost_key(ana, auth, monkeypatch):
    """Ana with an app, whose key was removed before its secret was re-encrypted; and her recovery codes."""
    codes = ana.turn_on()
    monkeypatch.setattr(auth.client.services["auth"], "seals", Seals(Fernet.generate_key().decode()))
    return ana, codes


def test_code_of_an_app_whose_key_was_removed_is_refused_with_the_reason_and_an_alarm(with_lost_key, caplog):
    ana, (recovery_code, *_) = with_lost_key

    with pytest.raises(RemoteError, match="Use a recovery code or a passkey, or contact us.") as refusal:
        ana.sign_in(code=ana.code(1))

    (raised,) = [each for each in caplog.records if hasattr(each, "alarm")]
    assert (refusal.value.name, raised.alarm) == ("AuthenticatorUnreadable", "unreadable_authenticator")
    assert "AUTH_ENCRYPTION_KEY" in raised.message and ana.id in raised.message
    assert ana.answer(code=recovery_code) == "signed in"


def test_app_works_again_once_the_removed_key_is_back(with_lost_key, auth, monkeypatch):
    ana, _ = with_lost_key
    service, factors = auth.client.services["auth"], auth.client.services["auth"].store.factors
    lost, new = service.seals, Fernet.generate_key().decode()

    assert ana.id in factors.reencrypt(lost)[1]
    renewed, unreadable = factors.reencrypt(Seals(f"{new},{KEY}"))
    monkeypatch.setattr(service, "seals", Seals(new))

    assert renewed and ana.id not in unreadable
    assert ana.answer(code=ana.code(1)) == "signed in"


@pytest.mark.parametrize("step", range(3))
def test_seals_are_opened_while_processes_get_a_new_encryption_key_one_by_one(step):
    new = Fernet.generate_key().decode()
    keys = [KEY, f"{KEY},{new}", f"{new},{KEY}", new][step : step + 2]  # docs/operations.md: Replace a key
    not_yet, replaced = map(Seals, keys)

    assert replaced.open("test", not_yet.seal("test", "Ana")) == ["Ana"]
    assert not_yet.open("test", replaced.seal("test", "Ana")) == ["Ana"]


def test_app_goes_on_when_the_encryption_key_is_replaced(ana, auth, monkeypatch):
    ana.turn_on()
    service, new = auth.client.services["auth"], Fernet.generate_key().decode()

    monkeypatch.setattr(service, "seals", Seals(f"{new},{KEY}"))
    with_both = ana.answer(code=ana.code(1))
    monkeypatch.setattr(service, "seals", Seals(new))

    assert [with_both, ana.answer(code=ana.code(2))] == ["signed in", "signed in"]
