"""What the gateway relies on in the services: one contract for the fakes of its tests and for the services themselves.

Results have the same keys and types, and each refused call raises the same error with the same details.
"""

import inspect
import re
from datetime import datetime, timedelta

import pyotp
import pytest

from dev.passkeys import SoftwarePasskey
from gateway.tests import fake_factors, fakes
from libs.clock import iso, utc_now
from tests.contract.conftest import PASSWORD, PAST, VISA, WEBHOOK

FAKES = inspect.getsource(fakes) + inspect.getsource(fake_factors)
UNKNOWN = "0" * 24
NEW = "another long one"
LATER = "2031-01-31T20:30:00+01:00"
TEXT, NUMBER, FLAG, MAYBE = str, int, bool, (str, type(None))
SESSION = {"user": {"id": TEXT, "email": TEXT}, "token": TEXT}
REVOCATION = {"kind": TEXT, "number": NUMBER}
SNAPSHOT = {
    **dict.fromkeys(("id", "title", "currency", "category"), TEXT),
    "price_cents": NUMBER,
    "venue": MAYBE,
    "starts_at": MAYBE,
    "city": MAYBE,
    "time_zone": MAYBE,
    "seat": (dict, type(None)),
}
TICKET = SNAPSHOT | {
    **dict.fromkeys(("seller_id", "status", "event_id", "created_at", "updated_at"), TEXT),
    "version": NUMBER,
    "price_version": NUMBER,
    "revision": NUMBER,
    "withdrawn": FLAG,
    "reserved_until": MAYBE,
}
OF_EVENT = TICKET | {"event": {"tickets": NUMBER, "price_cents": NUMBER, "currency": TEXT}}
OWN_TICKET = TICKET | {"refunded_cents": NUMBER}
ORDER = {
    **dict.fromkeys(("id", "status", "buyer_id", "seller_id", "expires_at", "currency", "created_at"), TEXT),
    **dict.fromkeys(("version", "reservation_no", "price_cents", "refunded_cents"), NUMBER),
    "updated_at": TEXT,
    "is_extendable": FLAG,
    "cancel_reason": MAYBE,
    "refunded_at": MAYBE,
    "ticket": SNAPSHOT,
}
PAYMENT = {
    **dict.fromkeys(("id", "order_id", "ticket_id", "status", "currency", "created_at", "updated_at"), TEXT),
    **dict.fromkeys(("version", "amount_cents", "declines", "remaining", "refunded_cents", "refunding_cents"), NUMBER),
    **dict.fromkeys(("final", "is_confirming", "is_challenged", "has_refund_failed", "has_full_refund_failed"), FLAG),
    **dict.fromkeys(
        ("ticket_id", "stripe_id", "decline_code", "card_brand", "card_last4", "refunded_at", "captured_at"), MAYBE
    ),
    "dispute": (dict, type(None)),
}
SHOWN_PAYMENT = PAYMENT | {"decline_message": TEXT}

RESULTS = {
    "auth.sign_up": (lambda side: side.sign_up("cy"), SESSION),
    "auth.sign_in": (lambda side: (side.sign_up("cy"), side.sign_in("cy"))[1], SESSION),
    "auth.change_password": (
        lambda side: side.call("auth.change_password", "cy", current=PASSWORD, new=NEW),
        SESSION | {"revocation": REVOCATION},
    ),
    "auth.sign_out": (lambda side: side.call("auth.sign_out", "cy"), REVOCATION),
    "auth.sign_out_everywhere": (lambda side: side.call("auth.sign_out_everywhere", "cy"), REVOCATION),
    "auth.sign_in_with_code": (lambda side: finish(side), SESSION),
    "auth.request_passkey": (
        lambda side: side.call("auth.request_passkey", "gateway"),
        {"options": dict, "ceremony": TEXT},
    ),
    "auth.sign_in_with_passkey": (
        lambda side: side.call(
            "auth.sign_in_with_passkey", "gateway", **answered(side, passkey(side)), address=side.address
        ),
        SESSION,
    ),
    "auth.confirm": (lambda side: side.call("auth.confirm", "cy", password=PASSWORD), {"proof": TEXT}),
    "auth.account_security": (
        lambda side: (passkey(side), codes(side), side.call("auth.account_security", "cy"))[2],
        {
            "authenticator": TEXT,
            "recovery_codes": NUMBER,
            "is_confirmed": FLAG,
            "passkeys": [{"id": TEXT, "name": TEXT, "is_synced": FLAG, "created_at": TEXT, "used_at": MAYBE}],
            "changes": [{"what": TEXT, "about": TEXT, "at": TEXT}],
        },
    ),
    "auth.new_authenticator": (
        lambda side: side.call("auth.new_authenticator", "cy"),
        {"secret": TEXT, "uri": TEXT, "setup": TEXT},
    ),
    "auth.turn_on_authenticator": (lambda side: turned_on(side), {"recovery_codes": [TEXT], "proof": TEXT}),
    "auth.turn_off_authenticator": (
        lambda side: side.call("auth.turn_off_authenticator", "cy", proof=turned_on(side)["proof"]),
        type(None),
    ),
    "auth.renew_recovery_codes": (
        lambda side: side.call("auth.renew_recovery_codes", "cy", proof=turned_on(side)["proof"]),
        {"recovery_codes": [TEXT]},
    ),
    "auth.new_passkey": (lambda side: side.call("auth.new_passkey", "cy"), {"options": dict, "ceremony": TEXT}),
    "auth.add_passkey": (lambda side: passkey(side) and None, type(None)),
    "auth.remove_passkey": (
        lambda side: side.call("auth.remove_passkey", "cy", passkey_id=passkey(side).name),
        type(None),
    ),
    "auth.note_keys": (lambda side: side.call("auth.note_keys", "gateway", fingerprints=["91bc0011"]), type(None)),
    "auth.note_sessions": (lambda side: side.note("cy"), type(None)),
    "auth.list_sessions": (
        lambda side: (side.note("cy"), side.call("auth.list_sessions", "cy"))[1],
        [dict.fromkeys(("id", "device", "address", "started_at", "used_at", "expires_at"), TEXT)],
    ),
    "auth.end_session": (lambda side: side.call("auth.end_session", "cy", session_id=noted(side)), REVOCATION),
    "auth.choose_name": (lambda side: side.call("auth.choose_name", "ana", name="Ana"), {"name": TEXT}),
    "auth.profiles": (
        lambda side: side.call("auth.profiles", "gateway", ids=[side.sign_up("cy")["user"]["id"]]),
        [{"id": TEXT, "name": type(None), "member_since": TEXT}],
    ),
    "auth.is_effective": (lambda side: side.call("auth.is_effective", "gateway", kind="users", number=0), FLAG),
    "auth.is_revoked": (lambda side: side.call("auth.is_revoked", "gateway", session_id=UNKNOWN), FLAG),
    "tickets.create": (
        lambda side: side.call("tickets.create", "ana", title="Hamlet", price_cents=1999, venue="Globe"),
        TICKET,
    ),
    "tickets.get": (lambda side: side.call("tickets.get", ticket_id=side.ticket()), TICKET),
    "tickets.update": (
        lambda side: side.call("tickets.update", "ana", ticket_id=side.ticket(), title="Macbeth", price_cents=500),
        TICKET,
    ),
    "tickets.withdraw": (lambda side: side.call("tickets.withdraw", "ana", ticket_id=side.ticket()), TICKET),
    "tickets.list": (
        lambda side: (side.ticket(), side.ticket(), side.call("tickets.list", limit=1, count=True))[2],
        {"tickets": [TICKET], "next": TEXT, "corrections": {}, "count": {"tickets": NUMBER, "is_all": FLAG}},
    ),
    "tickets.highlights": (
        lambda side: (side.ticket(starts_at="2030-01-01T12:00Z"), side.call("tickets.highlights", soonest=1, newest=1))[
            1
        ],
        {"soonest": [OF_EVENT], "tickets": [OF_EVENT]},
    ),
    "tickets.event": (
        lambda side: side.call("tickets.event", event_id=event_of(side, f"Faust {side.unique}")),
        {"event": TICKET, "counts": {"on_sale": NUMBER}, "tickets": [TICKET], "next": type(None)},
    ),
    "tickets.sellers": (
        lambda side: (side.paid(), side.call("tickets.sellers", ids=[side.claims(side.tokens["ana"]).subject]))[1],
        [{"id": TEXT, "sold": NUMBER}],
    ),
    "tickets.site_map_events": (lambda side: (side.ticket(), side.call("tickets.site_map_events"))[1], [TEXT]),
    "tickets.site_map_event_pages": (lambda side: (side.ticket(), side.call("tickets.site_map_event_pages"))[1], list),
    "tickets.site_map": (lambda side: (side.ticket(), side.call("tickets.site_map"))[1], [[TEXT]]),
    "tickets.site_map_pages": (lambda side: (side.ticket(), side.call("tickets.site_map_pages"))[1], list),
    "tickets.list_mine": (
        lambda side: (side.ticket(), side.call("tickets.list_mine", "ana"))[1],
        {"tickets": [OWN_TICKET], "next": type(None)},
    ),
    "tickets.sales": (
        lambda side: (side.paid(), side.call("tickets.sales", "ana"))[1],
        [{"currency": TEXT, "tickets": NUMBER, "owed_cents": NUMBER}],
    ),
    "orders.create": (lambda side: side.call("orders.create", "bo", ticket_id=side.ticket()), ORDER),
    "orders.get": (lambda side: side.call("orders.get", "bo", order_id=side.order()), ORDER),
    "orders.list": (
        lambda side: (side.order(), side.call("orders.list", "bo"))[1],
        {"orders": [ORDER], "next": type(None)},
    ),
    "orders.held": (lambda side: side.call("orders.held", "bo", ticket_id=reserved(side)), ORDER),
    "orders.extend": (lambda side: side.call("orders.extend", "bo", order_id=ending(side)), ORDER),
    "orders.refusals": (lambda side: refusals(side, reserved(side), "cy"), list),
    "orders.cancel": (lambda side: side.call("orders.cancel", "bo", order_id=side.order()), ORDER),
    "payments.create_intent": (
        lambda side: side.call("payments.create_intent", "bo", order_id=side.order()),
        {"client_secret": TEXT, "publishable_key": TEXT},
    ),
    "payments.announce": (
        lambda side: side.call("payments.announce", "bo", order_id=side.order()),
        PAYMENT | {"attempt": NUMBER},
    ),
    "payments.refresh": (lambda side: side.call("payments.refresh", "bo", order_id=side.open_payment()), SHOWN_PAYMENT),
    "payments.pay": (lambda side: side.call("payments.pay", "bo", order_id=side.order(), token=VISA), PAYMENT),
    "payments.get": (lambda side: side.call("payments.get", "bo", order_id=side.open_payment()), SHOWN_PAYMENT),
    "payments.receive_webhook": (
        lambda side: side.call(
            "payments.receive_webhook", "gateway", payload=WEBHOOK, signature=side.signature(WEBHOOK)
        ),
        type(None),
    ),
}
"""For each method: a call that succeeds, and the keys and types of its result."""


def event_of(side, title):
    """Return the id of the event of a new ticket of Ana's."""
    return side.call("tickets.get", ticket_id=side.ticket(title=title))["event_id"]


def codes(side):
    """Set an authenticator app up for Cy; return the recovery codes."""
    return turned_on(side)["recovery_codes"]


def turned_on(side, proof=None):
    new = side.call("auth.new_authenticator", "cy", proof=proof)
    code = pyotp.TOTP(new["secret"]).now()
    return side.call("auth.turn_on_authenticator", "cy", setup=new["setup"], code=code, proof=proof)


def pending(side):
    codes(side)
    return begun(side)


def begun(side):
    return of_sign_in(side, PASSWORD, who="cy").details["pending"]


def finish(side):
    """Finish a sign-in of Cy's with a recovery code."""
    code, *_ = codes(side)
    return side.call("auth.sign_in_with_code", "gateway", pending=begun(side), code=code, address=side.address)


def passkey(side, name="Phone"):
    """Add a passkey to Cy's account and return it."""
    made, new = SoftwarePasskey(fake_factors.SITE), side.call("auth.new_passkey", "cy")
    side.call("auth.add_passkey", "cy", ceremony=new["ceremony"], answer=made.create(new["options"]), name=name)
    return made


def answered(side, passkey):
    asked = side.call("auth.request_passkey", "gateway")
    return {"ceremony": asked["ceremony"], "answer": passkey.get(asked["options"])}


def fits(value, shape):
    """Whether a JSON value has exactly these keys, and values of these types."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and value.keys() == shape.keys() and all(fits(value[k], shape[k]) for k in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and value != [] and all(fits(each, shape[0]) for each in value)
    return isinstance(value, shape) and not (shape is NUMBER and isinstance(value, bool))


@pytest.mark.parametrize("method", RESULTS)
def test_result_has_its_keys_and_types(side, method):
    call, shape = RESULTS[method]

    result = call(side)

    assert fits(result, shape), result


def test_every_method_of_the_fake_is_in_the_contract():
    methods = re.findall(r"def (auth|tickets|orders|payments)_(\w+)\(", FAKES)

    assert {f"{service}.{method}" for service, method in methods} == RESULTS.keys()


def of_sign_up(side, **changes):
    arguments = {"email": side.email("cy"), "password": PASSWORD, "address": side.address}
    return side.refusal("auth.sign_up", "gateway", **arguments | changes)


def of_sign_in(side, password, who="ana"):
    arguments = {"email": side.email(who), "password": password, "address": side.address}
    return side.refusal("auth.sign_in", "gateway", **arguments)


def of_too_many_tries(side):
    side.call("tickets.sales", "ana")
    return next(error for error in (of_sign_in(side, "again and again") for _ in range(10)) if error.details)


def noted(side):
    side.note("cy")
    return side.call("auth.list_sessions", "cy")[0]["id"]


def locked_out(side):
    side.call("auth.sign_out", "ana")
    side.lock("ana")
    return of_sign_in(side, PASSWORD)


def of_change(side, current=PASSWORD, new=NEW):
    return side.refusal("auth.change_password", "ana", current=current, new=new)


def of_edit(side, who="ana", ticket_id=None, **changes):
    arguments = {"ticket_id": ticket_id or side.ticket(), "title": "Macbeth", "price_cents": 500}
    return side.refusal("tickets.update", who, **arguments | changes)


def of_withdrawal(side, who="ana", ticket_id=None):
    return side.refusal("tickets.withdraw", who, ticket_id=ticket_id or side.ticket())


def of_order(side, who="bo", ticket_id=None, **changes):
    return side.refusal("orders.create", who, ticket_id=ticket_id or side.ticket(), **changes)


def of_too_many_reservations(side):
    for _ in range(fakes.MAXIMUM_UNPAID):
        side.order()
    return of_order(side)


def of_changed_price(side):
    ticket_id = side.ticket()
    side.call("tickets.update", "ana", ticket_id=ticket_id, title="Hamlet", price_cents=2500)
    return of_order(side, ticket_id=ticket_id, version=1)


def of_reused_key(side):
    side.call("orders.create", "bo", ticket_id=side.ticket(), idempotency_key=side.unique)
    return of_order(side, idempotency_key=side.unique)


def of_reused_ticket_key(side):
    side.call("tickets.create", "ana", title="Hamlet", price_cents=1999, idempotency_key=side.unique)
    return side.refusal("tickets.create", "ana", title="Hamlet", price_cents=2000, idempotency_key=side.unique)


def of_older_edit(side):
    ticket_id = side.ticket()
    side.call("tickets.update", "ana", ticket_id=ticket_id, title="Macbeth", price_cents=500, version=1)
    return of_edit(side, ticket_id=ticket_id, price_cents=600, version=1)


def of_cancel(side, order_id, who="bo"):
    return side.refusal("orders.cancel", who, order_id=order_id)


def of_extension(side, order_id, who="bo"):
    return side.refusal("orders.extend", who, order_id=order_id)


def ending(side, minutes=1):
    order_id = side.order()
    side.move_deadline(order_id, iso(utc_now() + timedelta(minutes=minutes)))
    return order_id


def of_pay(side, order_id=None, who="bo", token=VISA):
    return side.refusal("payments.pay", who, order_id=order_id or side.order(), token=token)


def reserved(side):
    ticket_id = side.ticket()
    side.order(ticket_id)
    return ticket_id


def refusals(side, ticket_id, *buyers, key=None):
    """Return why these buyers would be refused the ticket, with this Idempotency-Key."""
    asked = [[ticket_id, side.user_id(who), key] for who in buyers]
    return side.call("orders.refusals", "gateway", asked=asked)


def sold(side):
    ticket_id = side.ticket()
    side.paid(ticket_id)
    return ticket_id


def started(side, **details):
    ticket_id = side.ticket(starts_at=iso(utc_now() + timedelta(days=1)), **details)
    side.start(ticket_id)
    return ticket_id


def withdrawn(side):
    ticket_id = side.ticket()
    side.call("tickets.withdraw", "ana", ticket_id=ticket_id)
    return ticket_id


def cancelled(side):
    order_id = side.order()
    side.call("orders.cancel", "bo", order_id=order_id)
    return order_id


def being_paid(side):
    side.hold_captures()
    return side.paid()


def announced(side):
    order_id = side.order()
    side.call("payments.announce", "bo", order_id=order_id)
    return order_id


def with_stripe_down(side, order_id):
    side.stripe_down()
    return of_pay(side, order_id)


def of_code(side, code, begun=None):
    arguments = {"pending": begun or pending(side), "code": code, "address": side.address}
    return side.refusal("auth.sign_in_with_code", "gateway", **arguments)


def of_passkey(side, passkey, **changes):
    arguments = answered(side, passkey) | {"address": side.address}
    return side.refusal("auth.sign_in_with_passkey", "gateway", **arguments | changes)


def of_new_passkey(side, name="Phone", **changes):
    made, new = SoftwarePasskey(fake_factors.SITE), side.call("auth.new_passkey", "cy")
    arguments = {"ceremony": new["ceremony"], "answer": made.create(new["options"]), "name": name}
    return side.refusal("auth.add_passkey", "cy", **arguments | changes)


def of_authenticator(side, setup=None, code="000000"):
    setup = setup or side.call("auth.new_authenticator", "cy")["setup"]
    return side.refusal("auth.turn_on_authenticator", "cy", setup=setup, code=code)


def of_used_set_up(side):
    new = side.call("auth.new_authenticator", "cy")
    given = {"setup": new["setup"], "code": pyotp.TOTP(new["secret"]).now()}
    side.call("auth.turn_on_authenticator", "cy", **given)
    return side.refusal("auth.turn_on_authenticator", "cy", **given)


REFUSALS = [
    ("SecondFactorNeeded", lambda side: (codes(side), of_sign_in(side, PASSWORD, who="cy"))[1]),
    ("ConfirmationNeeded", lambda side: (side.grow_old("cy"), side.refusal("auth.new_passkey", "cy"))[1]),
    ("WrongCode", lambda side: of_code(side, "000000")),
    ("TookTooLong", lambda side: of_code(side, "000000", begun="x")),
    ("WrongCode", of_authenticator),
    ("TookTooLong", lambda side: of_authenticator(side, setup="x")),
    ("AuthenticatorInUse", of_used_set_up),
    ("NoAuthenticator", lambda side: side.refusal("auth.renew_recovery_codes", "cy")),
    ("WrongPasskey", lambda side: of_passkey(side, SoftwarePasskey(fake_factors.SITE))),
    ("WrongPasskey", lambda side: of_passkey(side, passkey(side), answer="{}")),
    ("TookTooLong", lambda side: of_passkey(side, passkey(side), ceremony="x")),
    ("InvalidPasskeyName", lambda side: of_new_passkey(side, name=" ")),
    ("TookTooLong", lambda side: of_new_passkey(side, ceremony="x")),
    ("PasskeyNotFound", lambda side: side.refusal("auth.remove_passkey", "cy", passkey_id="x")),
    ("WrongPassword", lambda side: side.refusal("auth.confirm", "cy", password="wrong")),
    ("WrongCode", lambda side: (codes(side), side.refusal("auth.confirm", "cy", password=PASSWORD, code="000000"))[1]),
    ("IncompleteConfirmation", lambda side: (codes(side), side.refusal("auth.confirm", "cy", password=PASSWORD))[1]),
    ("IncompleteConfirmation", lambda side: side.refusal("auth.confirm", "cy")),
    ("InvalidEmail", lambda side: of_sign_up(side, email="ana")),
    ("InvalidEmail", lambda side: of_sign_up(side, email=None, password=False)),
    ("InvalidPassword", lambda side: of_sign_up(side, password="short")),
    ("InvalidPassword", lambda side: of_sign_up(side, password="password")),
    ("EmailInUse", lambda side: (side.sign_up("cy"), of_sign_up(side, email=side.email("cy").upper()))[1]),
    ("WrongCredentials", lambda side: of_sign_in(side, "wrong")),
    ("TooManyAttempts", of_too_many_tries),
    ("UserLocked", locked_out),
    ("SessionNotFound", lambda side: side.refusal("auth.end_session", "ana", session_id=UNKNOWN)),
    ("SessionNotFound", lambda side: side.refusal("auth.end_session", "ana", session_id=noted(side))),
    ("WrongPassword", lambda side: of_change(side, current="wrong")),
    ("WrongPassword", lambda side: of_change(side, current="wrong", new="password")),
    ("InvalidPassword", lambda side: of_change(side, current="wrong", new="short")),
    ("InvalidPassword", lambda side: of_change(side, current=None, new="short")),
    ("InvalidPassword", lambda side: of_change(side, new="password")),
    ("InvalidTicket", lambda side: side.refusal("tickets.create", "ana", title=" ", price_cents=49, starts_at="soon")),
    ("InvalidTicket", lambda side: side.refusal("tickets.create", "ana", title=False, price_cents=None, venue=False)),
    ("InvalidTicket", lambda side: of_edit(side, ticket_id=UNKNOWN, title="", category="opera")),
    ("InvalidTicket", lambda side: side.refusal("tickets.create", "ana", title="X", price_cents=1999, starts_at=PAST)),
    ("InvalidTicket", lambda side: of_edit(side, starts_at=PAST)),
    (
        "InvalidTicket",
        lambda side: of_edit(side, seat=7, city=7, starts_at=LATER, time_zone="Middle/Earth"),
    ),
    ("InvalidTicket", lambda side: of_edit(side, starts_at=None, time_zone="Middle/Earth")),
    ("InvalidName", lambda side: side.refusal("auth.choose_name", "ana", name="ana@example.org")),
    ("InvalidName", lambda side: side.refusal("auth.choose_name", "ana", name="x" * 41)),
    ("EventNotFound", lambda side: side.refusal("tickets.event", event_id=UNKNOWN)),
    ("TicketNotFound", lambda side: side.refusal("tickets.get", ticket_id=UNKNOWN)),
    ("TicketNotFound", lambda side: of_edit(side, ticket_id=UNKNOWN)),
    ("TicketNotFound", lambda side: of_withdrawal(side, ticket_id=UNKNOWN)),
    ("TicketNotFound", lambda side: of_order(side, ticket_id=UNKNOWN)),
    ("NotOwner", lambda side: of_edit(side, who="bo")),
    ("NotOwner", lambda side: of_withdrawal(side, who="bo")),
    ("TicketReserved", lambda side: of_edit(side, ticket_id=reserved(side))),
    ("TicketReserved", lambda side: of_withdrawal(side, ticket_id=reserved(side))),
    ("TicketReserved", lambda side: of_order(side, who="cy", ticket_id=reserved(side))),
    ("AlreadyHeld", lambda side: of_order(side, ticket_id=reserved(side))),
    ("AlreadyHeld", lambda side: of_order(side, ticket_id=sold(side))),
    ("TicketSold", lambda side: of_edit(side, ticket_id=sold(side))),
    ("TicketSold", lambda side: of_withdrawal(side, ticket_id=sold(side))),
    ("TicketSold", lambda side: of_order(side, who="cy", ticket_id=sold(side))),
    ("TicketWithdrawn", lambda side: of_edit(side, ticket_id=withdrawn(side))),
    ("TicketWithdrawn", lambda side: of_order(side, ticket_id=withdrawn(side))),
    ("TicketStarted", lambda side: of_order(side, ticket_id=started(side))),
    ("TooManyReservations", of_too_many_reservations),
    ("OwnTicket", lambda side: of_order(side, who="ana")),
    ("PriceChanged", of_changed_price),
    ("KeyReused", of_reused_key),
    ("KeyReused", of_reused_ticket_key),
    ("TicketChanged", of_older_edit),
    ("TicketChanged", lambda side: side.refusal("tickets.withdraw", "ana", ticket_id=side.ticket(), version=7)),
    ("InvalidCursor", lambda side: side.refusal("tickets.list", after="x")),
    ("InvalidCursor", lambda side: side.refusal("tickets.list_mine", "ana", after="x")),
    ("InvalidCursor", lambda side: side.refusal("orders.list", "bo", after="x")),
    ("OrderNotFound", lambda side: side.refusal("orders.get", "bo", order_id=UNKNOWN)),
    ("OrderNotFound", lambda side: of_cancel(side, UNKNOWN)),
    ("OrderNotFound", lambda side: of_pay(side, UNKNOWN)),
    ("OrderNotFound", lambda side: side.refusal("payments.create_intent", "bo", order_id=UNKNOWN)),
    ("OrderNotFound", lambda side: side.refusal("payments.announce", "bo", order_id=UNKNOWN)),
    ("NotOwner", lambda side: side.refusal("orders.get", "ana", order_id=side.order())),
    ("NotOwner", lambda side: of_cancel(side, side.order(), "ana")),
    ("NotOwner", lambda side: of_pay(side, who="ana")),
    ("NotOwner", lambda side: side.refusal("payments.create_intent", "ana", order_id=side.order())),
    ("NotOwner", lambda side: side.refusal("payments.announce", "ana", order_id=side.order())),
    ("NotOwner", lambda side: side.refusal("payments.get", "ana", order_id=side.open_payment())),
    ("NotOwner", lambda side: side.refusal("payments.refresh", "ana", order_id=side.open_payment())),
    ("NotOwner", lambda side: of_extension(side, ending(side), "ana")),
    ("OrderNotFound", lambda side: of_extension(side, UNKNOWN)),
    ("NoDeadline", lambda side: of_extension(side, cancelled(side))),
    ("NoDeadline", lambda side: of_extension(side, side.paid())),
    ("DeadlinePassed", lambda side: of_extension(side, ending(side, -1))),
    ("TooEarlyToExtend", lambda side: of_extension(side, side.order())),
    ("OrderComplete", lambda side: of_cancel(side, side.paid())),
    ("OrderBeingPaid", lambda side: of_cancel(side, being_paid(side))),
    ("OrderCancelled", lambda side: of_pay(side, cancelled(side))),
    ("OrderCancelled", lambda side: side.refusal("payments.create_intent", "bo", order_id=cancelled(side))),
    ("OrderCancelled", lambda side: side.refusal("payments.announce", "bo", order_id=cancelled(side))),
    ("PaymentNotFound", lambda side: side.refusal("payments.get", "bo", order_id=UNKNOWN)),
    ("PaymentNotFound", lambda side: side.refusal("payments.refresh", "bo", order_id=UNKNOWN)),
    ("PaymentInProgress", lambda side: side.refusal("payments.announce", "bo", order_id=announced(side))),
    ("PaymentDeclined", lambda side: of_pay(side, token="tok_chargeDeclined")),
    ("PaymentDeclined", lambda side: of_pay(side, token="tok_chargeDeclinedInsufficientFunds")),
    ("AuthenticationRequired", lambda side: of_pay(side, token="tok_threeDSecure2Required")),
    ("StripeUnavailable", lambda side: with_stripe_down(side, side.order())),
    (
        "InvalidSignature",
        lambda side: side.refusal("payments.receive_webhook", "gateway", payload=WEBHOOK, signature="bad"),
    ),
    ("Unauthenticated", lambda side: side.refusal("tickets.create", title="Hamlet", price_cents=1999)),
    ("Unauthenticated", lambda side: side.refusal("orders.list")),
    ("Unauthenticated", lambda side: side.refusal("auth.sign_out")),
    ("Unauthenticated", lambda side: side.refusal("payments.receive_webhook", payload=WEBHOOK, signature="bad")),
    ("Forbidden", lambda side: side.refusal("orders.list", "gateway")),
    ("Forbidden", lambda side: side.refusal("auth.is_revoked", "bo", session_id=UNKNOWN)),
    ("Forbidden", lambda side: side.refusal("payments.receive_webhook", "bo", payload=WEBHOOK, signature="bad")),
]
"""Calls that are refused, and the name of the error."""

DETAILS = {
    "InvalidEmail": {"errors": [{"field": TEXT, "message": TEXT}]},
    "IncompleteConfirmation": {"errors": [{"field": TEXT, "message": TEXT}]},
    "InvalidPassword": {"errors": [{"field": TEXT, "message": TEXT}]},
    "InvalidName": {"errors": [{"field": TEXT, "message": TEXT}]},
    "InvalidPasskeyName": {"errors": [{"field": TEXT, "message": TEXT}]},
    "SecondFactorNeeded": {"pending": TEXT},
    "InvalidTicket": {"errors": [{"field": TEXT, "message": TEXT}]},
    "TooManyAttempts": {"retry_after": NUMBER},
    "TooManyReservations": {"retry_after": NUMBER},
    "PriceChanged": {"price_cents": NUMBER, "currency": TEXT, "version": NUMBER},
    "TicketChanged": {"version": NUMBER},
    "AlreadyHeld": {"order_id": TEXT},
    "PaymentDeclined": {"decline_code": TEXT, "remaining": NUMBER},
    "AuthenticationRequired": {"client_secret": TEXT},
}
"""Keys and types of the details of errors that have any."""


@pytest.mark.parametrize(("name", "refused"), REFUSALS, ids=[name for name, _ in REFUSALS])
def test_refused_call_raises_its_error_with_its_details(side, name, refused):
    error = refused(side)

    assert error.name == name
    assert fits(error.details, DETAILS.get(name, {})), error.details


def test_every_error_that_the_fake_raises_is_in_the_contract():
    names = re.findall(r'"([A-Z][a-z]\w+)"', FAKES)

    assert set(names) == {name for name, _ in REFUSALS}


# all errors of one call


@pytest.mark.parametrize(
    ("refused", "fields"),
    [
        (lambda side: of_sign_up(side, email="", password="short"), ["email", "password"]),
        (lambda side: of_change(side, current="", new="short"), ["current", "new"]),
        (
            lambda side: of_edit(side, title="", price_cents=49, category="x", venue=7, starts_at=7),
            ["title", "price_cents", "category", "venue", "starts_at"],
        ),
        (
            lambda side: of_edit(side, starts_at=LATER, city=7, time_zone="x", seat={"section": 7, "row": "x" * 51}),
            ["city", "time_zone", "seat.section", "seat.row"],
        ),
    ],
    ids=["sign_up", "change_password", "update", "update_place"],
)
def test_errors_of_all_fields_are_reported_together(side, refused, fields):
    assert [error["field"] for error in refused(side).details["errors"]] == fields


# what becomes of things


def status(side, ticket_id, order_id):
    ticket, order = side.call("tickets.get", ticket_id=ticket_id), side.call("orders.get", "bo", order_id=order_id)
    return ticket["status"], order["status"]


def test_ticket_follows_its_order(side):
    ticket_id = side.ticket()
    first = side.order(ticket_id)
    states = [status(side, ticket_id, first)]
    side.call("orders.cancel", "bo", order_id=first)
    states.append(status(side, ticket_id, first))
    paid = side.paid(ticket_id)

    assert [*states, status(side, ticket_id, paid)] == [
        ("reserved", "created"),
        ("on_sale", "cancelled"),
        ("sold", "complete"),
    ]


def test_order_stays_reserved_while_the_payment_is_not_captured(side):
    side.hold_captures()
    ticket_id = side.ticket()

    assert status(side, ticket_id, side.paid(ticket_id)) == ("reserved", "awaiting_payment")


def test_extended_order_lasts_five_minutes_longer_once_and_holds_its_ticket_until_then(side):
    order_id = ending(side)
    before = side.call("orders.get", "bo", order_id=order_id)
    once, twice = (side.call("orders.extend", "bo", order_id=order_id) for _ in range(2))

    ticket = side.call("tickets.get", ticket_id=before["ticket"]["id"])
    longer = datetime.fromisoformat(once["expires_at"]) - datetime.fromisoformat(before["expires_at"])
    assert (longer, before["is_extendable"], once["is_extendable"]) == (timedelta(minutes=5), True, False)
    assert twice == once and ticket["reserved_until"] == once["expires_at"]


@pytest.mark.parametrize("taken", [reserved, sold])
def test_refusals_say_by_which_error_each_buyer_would_be_refused(side, taken):
    ticket_id = taken(side)

    said = refusals(side, ticket_id, "ana", "bo", "cy")

    errors = [of_order(side, who, ticket_id) for who in ("ana", "bo", "cy")]
    assert [(name, details) for name, _, details in said] == [(error.name, error.details) for error in errors]
    assert [name for name, _, _ in said] == ["OwnTicket", "AlreadyHeld", f"Ticket{taken.__name__.capitalize()}"]


def test_nobody_is_said_to_be_refused_a_ticket_that_nobody_holds_or_who_repeats_a_request(side):
    ticket_id = side.ticket()
    side.call("orders.create", "bo", ticket_id=ticket_id, idempotency_key=side.unique)

    assert refusals(side, side.ticket(), "bo", "cy") == [None, None]
    assert refusals(side, ticket_id, "bo", key=side.unique) == [None]


def test_same_key_returns_the_same_order(side):
    ticket_id = side.ticket()
    made = [side.call("orders.create", "bo", ticket_id=ticket_id, idempotency_key=side.unique)["id"] for _ in range(2)]

    assert made[0] == made[1]


def test_same_key_returns_the_same_ticket_whatever_became_of_it(side):
    details = {"title": "Hamlet", "price_cents": 1999, "starts_at": "2031-01-31T20:30:00+01:00"}
    first = side.call("tickets.create", "ana", **details, idempotency_key=side.unique)
    side.call("tickets.update", "ana", ticket_id=first["id"], title="Macbeth", price_cents=500)
    side.call("tickets.withdraw", "ana", ticket_id=first["id"])

    again = side.call("tickets.create", "ana", **details, idempotency_key=side.unique)

    assert (again["id"], again["title"], again["status"]) == (first["id"], "Macbeth", "withdrawn")


def test_same_key_returns_the_same_ticket_after_it_has_started(side):
    ticket_id = started(side, idempotency_key=side.unique)

    assert side.ticket(starts_at=PAST, idempotency_key=side.unique) == ticket_id


def test_what_has_started_is_listed_as_such_and_not_as_on_sale(side):
    ticket_id = started(side)

    found = {
        status: [ticket["id"] for ticket in side.call("tickets.list_mine", "ana", status=status)["tickets"]]
        for status in ("on_sale", "started", "all")
    }

    assert found == {"on_sale": [], "started": [ticket_id], "all": [ticket_id]}
    assert ticket_id not in [ticket["id"] for ticket in side.call("tickets.list")["tickets"]]


def test_title_of_what_has_started_may_be_corrected_and_its_start_postponed_but_not_to_another_past_time(side):
    starts_at = side.call("tickets.get", ticket_id=(ticket_id := started(side)))["starts_at"]
    edit = {"ticket_id": ticket_id, "title": "Macbeth", "price_cents": 500}

    corrected = side.call("tickets.update", "ana", **edit, starts_at=starts_at)
    refused = side.refusal("tickets.update", "ana", **edit, starts_at="2020-01-01T12:00:01Z")
    postponed = side.call("tickets.update", "ana", **edit, starts_at=iso(utc_now() + timedelta(days=1)))

    assert (corrected["title"], corrected["starts_at"]) == ("Macbeth", starts_at)
    assert [error["field"] for error in refused.details["errors"]] == ["starts_at"]
    assert postponed["version"] == 3


def test_seat_city_and_zone_stay_in_an_edit_by_who_knows_nothing_of_them(side):
    place = {"seat": {"section": "B", "row": "3", "seat": None}, "city": "London", "time_zone": "Europe/London"}
    ticket = side.call("tickets.create", "ana", title="Hamlet", price_cents=1999, starts_at=LATER, **place)
    edit = {"ticket_id": ticket["id"], "title": "Macbeth", "price_cents": 1999, "starts_at": LATER}

    edited = side.call("tickets.update", "ana", **edit)
    cleared = side.call("tickets.update", "ana", **edit, seat=None, city=None, time_zone=None)

    assert {name: edited[name] for name in place} == place
    assert {name: cleared[name] for name in place} == dict.fromkeys(place)
    assert ticket["event_id"] != edited["event_id"] == cleared["event_id"]


def test_tickets_of_one_event_are_listed_once_with_their_number_and_the_lowest_price(side):
    event = {"title": f"Hamlet {side.unique}", "venue": "Globe", "starts_at": LATER}
    tickets = [side.ticket(**event, price_cents=price) for price in (3000, 1000, 2000)]
    side.order(tickets[1])

    (listed,) = side.call("tickets.list", q=side.unique, by_event=True)["tickets"]
    found = side.call("tickets.event", event_id=listed["event_id"], limit=1)
    rest = side.call("tickets.event", event_id=listed["event_id"], limit=1, after=found["next"])

    assert listed["event"] == {"tickets": 2, "price_cents": 2000, "currency": "usd"}
    assert listed["id"] == tickets[2]
    assert found["counts"] == {"on_sale": 2, "reserved": 1}
    assert [ticket["price_cents"] for ticket in found["tickets"] + rest["tickets"]] == [2000, 3000]
    assert len(side.call("tickets.list", q=side.unique)["tickets"]) == 2


def test_edit_that_changes_nothing_leaves_the_version(side):
    ticket_id, edit = side.ticket(), {"title": "Macbeth", "price_cents": 500, "version": 1}

    saved = [side.call("tickets.update", "ana", ticket_id=ticket_id, **edit)["version"] for _ in range(2)]

    assert saved == [2, 2]


def test_ticket_is_held_only_by_its_buyer_and_only_while_the_order_lives(side):
    ticket_id = side.ticket()
    order_id = side.order(ticket_id)
    others = side.call("orders.held", "ana", ticket_id=ticket_id)
    side.call("orders.cancel", "bo", order_id=order_id)

    assert (others, side.call("orders.held", "bo", ticket_id=ticket_id)) == (None, None)


def test_third_decline_cancels_the_order(side):
    ticket_id = side.ticket()
    order_id = side.order(ticket_id)

    remaining = [of_pay(side, order_id, token="tok_chargeDeclined").details["remaining"] for _ in range(3)]

    order = side.call("orders.get", "bo", order_id=order_id)
    assert (remaining, order["cancel_reason"]) == ([2, 1, 0], "payment_failed")
    assert status(side, ticket_id, order_id) == ("on_sale", "cancelled")


def test_decline_has_its_message_until_the_order_is_paid(side):
    order_id = side.order()
    of_pay(side, order_id, token="tok_chargeDeclined")
    declined = side.call("payments.get", "bo", order_id=order_id)["decline_message"]
    side.call("payments.pay", "bo", order_id=order_id, token=VISA)

    assert declined.startswith("Your card was declined.")
    assert side.call("payments.get", "bo", order_id=order_id)["decline_message"] == ""


def test_payment_in_the_browser_is_found_by_a_refresh(side):
    order_id = side.open_payment()
    side.pay_in_browser(order_id)

    payment = side.call("payments.refresh", "bo", order_id=order_id)

    assert payment["status"] in ("authorized", "captured")
    assert side.call("orders.get", "bo", order_id=order_id)["status"] == "complete"


def test_announced_attempt_is_confirming_until_stripe_has_answered_it(side):
    order_id = side.order()
    attempt = side.call("payments.announce", "bo", order_id=order_id)["attempt"]
    unanswered = side.call("payments.refresh", "bo", order_id=order_id)
    answered = side.call("payments.refresh", "bo", order_id=order_id, answered=attempt)

    assert (unanswered["is_confirming"], answered["is_confirming"]) == (True, False)


def test_payment_is_confirming_while_stripe_is_down(side):
    order_id = side.open_payment()
    side.stripe_down()

    assert side.call("payments.refresh", "bo", order_id=order_id)["is_confirming"] is True


def test_changed_password_ends_all_older_sessions(side):
    token = side.sign_up("cy")["token"]
    claims = side.claims(token)
    about = {"session_id": claims.session_id, "user_id": claims.subject, "generation": claims.generation}
    before = side.call("auth.is_revoked", "gateway", **about)
    side.tokens["cy"] = token
    side.call("auth.change_password", "cy", current=PASSWORD, new=NEW)

    assert (before, side.call("auth.is_revoked", "gateway", **about)) == (False, True)


def test_signing_out_ends_the_session(side):
    side.tokens["cy"] = side.sign_up("cy")["token"]
    session_id = side.claims(side.tokens["cy"]).session_id
    side.call("auth.sign_out", "cy")

    assert side.call("auth.is_revoked", "gateway", session_id=session_id) is True


def test_list_is_filtered_sorted_and_paged(side):
    for price_cents in (3000, 1000, 2000):
        side.ticket(title=f"Hamlet {side.unique}", price_cents=price_cents, category="stage")
    side.ticket(title=f"Hamlet {side.unique}", price_cents=2500, category="match")
    query = {"q": side.unique, "category": "stage", "min_price_cents": 1000, "max_price_cents": 2500}

    first = side.call("tickets.list", sort="price_asc", limit=1, **query)
    second = side.call("tickets.list", sort="price_asc", limit=1, after=first["next"], **query)

    found = [ticket["price_cents"] for page in (first, second) for ticket in page["tickets"]]
    assert (found, second["next"]) == ([1000, 2000], None)
