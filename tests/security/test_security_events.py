"""Each kind of security event is logged where it happens: who, from where, what and with what outcome."""

import pytest

from auth.known_keys import record_public_keys
from libs import context
from libs.rpc import RemoteError
from libs.security_events import EVENTS
from libs.tokens import Signer, new_key
from tests.in_process import services_in_process

ADDRESS = "192.0.2.7"
GOOD, WRONG = "correct horse battery", "never seen in a log"


@pytest.fixture(scope="module")
def in_process(servers):
    with services_in_process(servers) as (client, signers):
        yield client, signers


class Site:
    """The services, called as the gateway calls them for a client at ADDRESS."""

    def __init__(self, client, signers):
        self.client = client
        self.gateway = signers["gateway"]
        self.signers = signers

    def call(self, method, token=None, **arguments):
        service, _, name = method.partition(".")
        with context.work(client=ADDRESS):
            return self.client.call(service, name, arguments, token=token or self.gateway.mint_service(service))

    def operate(self, method, **arguments):
        return self.call(method, self.signers["operator"].mint_call(method), **arguments)

    def sign_up(self, email):
        return self.call("auth.sign_up", email=email, password=GOOD, address=ADDRESS)

    def sign_in(self, email, password=GOOD):
        return self.call("auth.sign_in", email=email, password=password, address=ADDRESS)

    def fails(self, method, *arguments, **named):
        """Return the name of the error with which the method is refused."""
        with pytest.raises(RemoteError) as refusal:
            method(*arguments, **named)
        return refusal.value.name


@pytest.fixture
def site(in_process, caplog):
    caplog.set_level("INFO", "security")
    return Site(*in_process)


def sign_up(site):
    user = site.sign_up("signs-up@example.com")["user"]
    site.fails(site.sign_up, "signs-up@example.com")
    return [("success", user["id"]), ("EmailInUse", "unknown")]


def sign_in(site):
    user = site.sign_up("signs-in@example.com")["user"]
    site.sign_in("signs-in@example.com")
    site.fails(site.sign_in, "signs-in@example.com", WRONG)
    return [("success", user["id"]), ("WrongCredentials", user["id"])]


def sign_out(site):
    user = site.sign_up("signs-out@example.com")
    site.call("auth.sign_out", user["token"])
    site.call("auth.sign_out_everywhere", site.sign_in("signs-out@example.com")["token"])
    return [("success", user["user"]["id"])] * 2


def password_change(site):
    user = site.sign_up("changes@example.com")
    site.fails(site.call, "auth.change_password", user["token"], current=WRONG, new=GOOD[::-1])
    site.call("auth.change_password", user["token"], current=GOOD, new=GOOD[::-1])
    return [("WrongPassword", user["user"]["id"]), ("success", user["user"]["id"])]


def access_denied(site):
    user = site.sign_up("is-denied@example.com")
    site.fails(site.call, "orders.move_deadline", user["token"], order_id="o1", expires_at="2030-01-01T00:00:00Z")
    site.fails(site.call, "orders.list", "a forged token")
    return [("Forbidden", user["user"]["id"]), ("Unauthenticated", "unknown")]


def throttled(site):
    user = site.sign_up("is-throttled@example.com")
    refusal = ""
    while refusal != "TooManyAttempts":  # the first waits are short: a slow machine needs some more tries
        refusal = site.fails(site.call, "auth.change_password", user["token"], current=WRONG, new=GOOD[::-1])
    return [("TooManyAttempts", user["user"]["id"])]


def operator_action(site):
    site.fails(site.operate, "orders.expire_now", order_id="o1")
    site.operate("orders.versions")
    site.operate("auth.operators")
    return [("OrderNotFound", "olga"), ("success", "olga"), ("success", "olga")]


def key_rotation(site):
    private, public = new_key("operator:olga")
    site.operate("auth.add_operator", public_key=public)
    site.signers["operator"] = Signer(private)  # the one before is good for nothing any more
    with context.work(client=ADDRESS):
        for keys in (["auth:1=A"], ["auth:1=A", "auth:2=B"], ["auth:1=A", "auth:2=B"], ["auth:2=B"]):
            record_public_keys(site.client.services["auth"].store.users.collection.database, keys)
    return [("success", "olga"), ("success", "auth"), ("success", "auth")]


def confirmation(site):
    user = site.sign_up("confirms@example.com")
    site.fails(site.call, "auth.confirm", user["token"], password=WRONG)
    site.call("auth.confirm", user["token"], password=GOOD)
    return [("WrongPassword", user["user"]["id"]), ("success", user["user"]["id"])]


def second_factor(site):
    user = site.sign_up("has-an-app@example.com")
    setup = site.call("auth.new_authenticator", user["token"])["setup"]
    site.fails(site.call, "auth.turn_on_authenticator", user["token"], setup=setup, code="no code")
    site.call("auth.turn_off_authenticator", user["token"])
    return [("WrongCode", user["user"]["id"]), ("success", user["user"]["id"])]


KINDS = [
    *(sign_up, sign_in, sign_out, password_change, confirmation, second_factor),
    *(access_denied, throttled, operator_action, key_rotation),
]


def test_there_is_a_test_for_each_kind():
    assert {kind.__name__ for kind in KINDS} == set(EVENTS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_event_is_logged_with_who_from_where_and_outcome(kind, site, caplog):
    expected = kind(site)

    logged = [record for record in caplog.records if getattr(record, "event", "") == kind.__name__]
    assert [(record.outcome, record.who) for record in logged] == expected
    assert {getattr(record, "from") for record in logged} == {ADDRESS}
    written = "".join(str(vars(record)) for record in caplog.records)
    assert not [secret for secret in (GOOD, WRONG, "forged") if secret in written]


def test_what_was_typed_as_an_email_without_an_account_is_not_logged_but_can_be_told_apart(site, caplog):
    for email in ("hunter2", "hunter2", "hunter3"):
        site.fails(site.sign_in, email, WRONG)

    names = [record.who for record in caplog.records if getattr(record, "event", "") == "sign_in"]
    assert names[0] == names[1] != names[2] and "hunter" not in "".join(names)
