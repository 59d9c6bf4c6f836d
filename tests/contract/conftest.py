"""The two sides of the contract: the fake services of the gateway's tests, and the services themselves."""

import json
import secrets
from datetime import UTC, datetime
from functools import cache

import pytest
import stripe

from auth.passwords import HASHER
from dev.fake_stripe import testing
from dev.fake_stripe.testing import WEBHOOK_SECRET
from gateway.tests.fakes import AUTH_PRIVATE, GATEWAY_PRIVATE, PUBLIC_KEYS, FakeServices
from libs.rpc import RemoteError
from libs.tokens import Signer, Verifier
from orders.store import OrderStore
from tests.contract.real_services import real_services

PASSWORD = "correct horse battery"
VISA = "tok_visa"
PAST = "2020-01-01T12:00:00.000Z"
BALANCE = {"object": "balance"}
WEBHOOK = json.dumps({"id": "evt_1", "type": "balance.available", "livemode": False, "data": {"object": BALANCE}})


@cache
def password_hash():
    return HASHER.hash(PASSWORD)


class Side:
    """Calls of one side as the gateway makes them, by a seller (ana), a buyer (bo) and the gateway itself."""

    def __init__(self, client):
        self.client, self.unique = client, secrets.token_hex(4)
        self.address = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
        self.tokens = {}

    def call(self, method, who=None, **arguments):
        """Return the result of `service.method`, called by a user, "gateway", or nobody."""
        service, _, name = method.partition(".")
        token = Signer(GATEWAY_PRIVATE).mint_service(service) if who == "gateway" else self._token(who)
        return self.client.call(service, name, arguments, token=token)

    def refusal(self, method, who=None, **arguments):
        """Return the error that the call raises."""
        with pytest.raises(RemoteError) as caught:
            self.call(method, who, **arguments)
        return caught.value

    def _token(self, who):
        if who and who not in self.tokens:
            self.tokens[who] = self.sign_up(who)["token"]
        return self.tokens.get(who)

    def claims(self, token):
        return Verifier(PUBLIC_KEYS).verify(token)

    def user_id(self, who):
        """Return the id of a user, signing them up first if necessary."""
        return self.claims(self._token(who)).subject

    def note(self, who):
        """Report the use of a user's session, as the gateway does."""
        claims = self.claims(self._token(who))
        about = {"id": claims.session_id, "user_id": claims.subject, "generation": claims.generation}
        about |= {"issued_at": claims.issued_at, "expires_at": claims.expires_at, "used_at": claims.issued_at}
        used = [about | {"device": "curl/8.17.0", "address": self.address}]
        return self.call("auth.note_sessions", "gateway", used=used)

    def email(self, who):
        return f"{who}-{self.unique}@example.com"

    def sign_up(self, who, password=PASSWORD, **changes):
        arguments = {"email": self.email(who), "password": password, "address": self.address}
        return self.call("auth.sign_up", "gateway", **arguments | changes)

    def sign_in(self, who, password=PASSWORD):
        arguments = {"email": self.email(who), "password": password, "address": self.address}
        return self.call("auth.sign_in", "gateway", **arguments)

    def ticket(self, **details):
        """Return the id of a new ticket of Ana's."""
        return self.call("tickets.create", "ana", **{"title": "Hamlet", "price_cents": 1999} | details)["id"]

    def order(self, ticket_id=None):
        """Return the id of Bo's order for it."""
        return self.call("orders.create", "bo", ticket_id=ticket_id or self.ticket())["id"]

    def open_payment(self):
        """Return the id of Bo's order with a payment that is not paid."""
        order_id = self.order()
        self.call("payments.create_intent", "bo", order_id=order_id)
        return order_id

    def paid(self, ticket_id=None):
        """Return the id of Bo's order, paid."""
        order_id = self.order(ticket_id)
        self.call("payments.pay", "bo", order_id=order_id, token=VISA)
        return order_id


class FakeSide(Side):
    """The fake services."""

    def __init__(self):
        super().__init__(FakeServices())

    def grow_old(self, who):
        """Move the start of the user's session back by more than ten minutes."""
        self.client.needs_confirmation = True

    def lock(self, who):
        self.client.users[self.email(who)]["locked"] = True

    def stripe_down(self):
        self.client.stripe_is_down = True

    def start(self, ticket_id):
        """Let a ticket have started since it was listed."""
        listed = (details for made, details in self.client.listed.values() if made["id"] == ticket_id)
        for found in (self.client.tickets[ticket_id], *listed):
            found["starts_at"] = PAST

    def move_deadline(self, order_id, expires_at):
        self.client.orders[order_id]["expires_at"] = expires_at

    def hold_captures(self):
        self.client.completes_at_once = False

    def pay_in_browser(self, order_id):
        self.client.paid_in_browser.add(order_id)

    def signature(self, payload):
        return "good"


class RealSide(Side):
    """The services."""

    def __init__(self, client, fake_stripe):
        super().__init__(client)
        self.stripe = fake_stripe

    def _token(self, who):
        """Return the token of a user who signed up, except that the password was hashed once for all."""
        if who and who not in self.tokens:
            user = self.client.services["auth"].store.add(self.email(who), password_hash(), "")
            claims = {"email": user["email"], "generation": user["generation"]}
            self.tokens[who] = Signer(AUTH_PRIVATE).mint(user["id"], 3600, **claims)
        return self.tokens.get(who)

    def grow_old(self, who):
        """Move the start of the user's session back by more than ten minutes."""
        claims = self.claims(self._token(who))
        self.tokens[who] = Signer(AUTH_PRIVATE).mint(
            claims.subject, 3600, email=claims.email, jti=claims.session_id, iat=claims.issued_at - 660
        )

    def lock(self, who):
        (users,) = (store.users.collection for store in self.client.stores if hasattr(store, "users"))
        users.update_one({"email": self.email(who)}, {"$set": {"locked_at": datetime.now(UTC)}})

    def stripe_down(self):
        self.stripe.control("faults", kind="error", count=None)

    def start(self, ticket_id):
        """Let a ticket have started since it was listed."""
        past = datetime.fromisoformat(PAST)
        for tickets in (store.tickets.collection for store in self.client.stores if hasattr(store, "tickets")):
            tickets.update_one({"_id": ticket_id}, {"$set": {"starts_at": past}})
            tickets.update_one(
                {"_id": ticket_id, "listed_as": {"$exists": True}}, {"$set": {"listed_as.starts_at": past}}
            )

    def move_deadline(self, order_id, expires_at):
        (orders,) = (store.orders for store in self.client.stores if isinstance(store, OrderStore))
        orders.collection.update_one({"_id": order_id}, {"$set": {"expires_at": datetime.fromisoformat(expires_at)}})

    def hold_captures(self):
        self.stripe.control("faults", kind="error", path="*/capture", count=None)

    def pay_in_browser(self, order_id):
        secret = self.call("payments.create_intent", "bo", order_id=order_id)["client_secret"]
        intent_id = secret.partition("_secret")[0]
        self.stripe.client().v1.payment_intents.confirm(intent_id, {"payment_method": "pm_card_visa"})

    def signature(self, payload):
        return stripe.WebhookSignature.generate_signature_header(payload, WEBHOOK_SECRET)


@pytest.fixture(scope="session")
def fake_stripe():
    with testing.running() as fake:
        yield fake


@pytest.fixture(scope="session")
def services(servers, fake_stripe):
    with real_services(servers, fake_stripe.url) as services:
        yield services


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.integration)])
def side(request):
    if request.param == "fake":
        return FakeSide()
    fake = request.getfixturevalue("fake_stripe")
    fake.control("faults", method="DELETE")
    return RealSide(request.getfixturevalue("services"), fake)
