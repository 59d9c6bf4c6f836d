"""Authorization: every route with a ticket, order, payment or session in it, by visitor, stranger, seller and buyer.

The gateway and the services are in this process.
"""

import re
import secrets
from datetime import timedelta
from types import SimpleNamespace

import pytest
from flask.testing import FlaskClient

from dev.fake_stripe import testing
from gateway.app import create_app
from gateway.tests.fakes import SETTINGS, never_revoked
from libs.clock import iso, utc_now
from libs.contracts.parts import OPERATOR
from libs.tokens import Signer
from tests.contract.real_services import real_services
from tests.in_process import KEYS

STATES = (
    *("on_sale, cancelled", "withdrawn, cancelled", "reserved, created"),
    *("reserved, awaiting_payment", "sold, complete"),
)
EVERYBODY = {"nobody", "stranger", "seller", "buyer"}
PASSWORD = "correct horse battery"
TICKET = {"title": "Macbeth, row 1", "price": "20.00"}

ALLOWED = {
    # routes with a ticket, which is on sale, and who may use them
    "GET /api/tickets/<ticket_id>": EVERYBODY,
    "PUT /api/tickets/<ticket_id>": {"seller"},
    "DELETE /api/tickets/<ticket_id>": {"seller"},
    "GET /tickets/<ticket_id>": EVERYBODY,
    "GET /events/<event_id>": EVERYBODY,
    "GET /api/events/<event_id>": EVERYBODY,
    "GET /api/events/<event_id>/tickets": EVERYBODY,
    "GET /api/sellers/<seller_id>": EVERYBODY,
    "GET /tickets/<ticket_id>/edit": {"seller"},
    "POST /tickets/<ticket_id>/edit": {"seller"},
    "POST /tickets/<ticket_id>/withdraw": {"seller"},
    "POST /tickets/<ticket_id>/buy": {"stranger", "buyer"},
    # routes with an order, which is waiting for payment
    "GET /api/orders/<order_id>": {"buyer"},
    "DELETE /api/orders/<order_id>": {"buyer"},
    "POST /api/orders/<order_id>/extend": {"buyer"},
    "POST /api/orders/<order_id>/payment-intent": {"buyer"},
    "GET /orders/<order_id>": {"buyer"},
    "GET /orders/<order_id>/progress": {"buyer"},
    "GET /orders/<order_id>/ticket.ics": {"buyer"},
    "GET /orders/<order_id>/return": {"buyer"},
    "POST /orders/<order_id>/attempt": {"buyer"},
    "POST /orders/<order_id>/cancel": {"buyer"},
    "POST /orders/<order_id>/extend": {"buyer"},
    "POST /orders/<order_id>/pay": {"buyer"},
    # routes with another session of the buyer's
    "DELETE /api/users/sessions/<session_id>": {"buyer"},
    "POST /account/sessions/<session_id>": {"buyer"},
    # routes with an id in their body
    "POST /api/orders": {"stranger", "buyer"},
    "POST /api/payments": {"buyer"},
}


class Person(FlaskClient):
    """Somebody who uses the pages and the API."""

    def sign_up(self, name):
        self.email = f"{name}-{secrets.token_hex(4)}@example.org"
        self.api("POST", "/api/users/signup", email=self.email, password=PASSWORD)
        return self

    def api(self, method, path, **body):
        """Return the body of the answer to a request that has to succeed."""
        answer = self.open(path, method=method, json=body or None)
        assert answer.status_code < 300, answer.text
        return answer.json

    def list_ticket(self):
        ticket = {"title": "Hamlet, row 3", "price": 19.99, "category": "stage", "startsAt": "2036-01-01T19:00:00Z"}
        return self.api("POST", "/api/tickets", **ticket)["id"]

    def reserve(self, ticket_id):
        return self.api("POST", "/api/orders", ticketId=ticket_id)["id"]

    def session_elsewhere(self):
        """Sign in on another device; return the id of that session."""
        other = Person(self.application, self.response_wrapper)
        other.api("POST", "/api/users/signin", email=self.email, password=PASSWORD)
        return next(each["id"] for each in other.api("GET", "/api/users/sessions") if each["current"])


@pytest.fixture(scope="module")
def stripe():
    with testing.running() as stripe:
        yield stripe


@pytest.fixture(scope="module")
def services(servers, stripe):
    limits = dict.fromkeys(("UNPAID_RESERVATIONS_PER_BUYER", "UNPAID_RESERVATIONS_PER_HOUR"), 1000)
    with real_services(servers, stripe.url, **limits) as services:
        yield services


@pytest.fixture(scope="module")
def people(services):
    app = create_app(services, SETTINGS, never_revoked())
    nobody, *others = (Person(app, app.response_class) for _ in range(4))
    signed_in = {name: other.sign_up(name) for name, other in zip(("stranger", "seller", "buyer"), others, strict=True)}
    return SimpleNamespace(nobody=nobody, **signed_in)


def test_every_route_with_an_id_is_in_the_table():
    rules = create_app(settings=SETTINGS).url_map.iter_rules()

    with_id = {
        f"{method} {rule.rule}"
        for rule in rules
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if "_id>" in rule.rule
    }

    assert with_id == {route for route in ALLOWED if "_id>" in route}


@pytest.mark.parametrize("route", ALLOWED)
def test_only_those_allowed_may_use_a_route(route, people, services):
    got_through, things, session = set(), None, None

    for name in ("nobody", "stranger", "seller", "buyer"):
        things = things or (people.seller.list_ticket(), people.buyer.reserve(people.seller.list_ticket()))
        session = session or (people.buyer.session_elsewhere() if "<session_id>" in route else "-")
        if "extend" in route:
            let_expire(services, things[1], 100)
        if "ticket.ics" in route:
            people.buyer.post("/api/payments", json={"orderId": things[1], "token": "tok_visa"})
        if answers(getattr(people, name), route.replace("<session_id>", session), *things):
            got_through.add(name)
            things = things if route.startswith("GET ") else None  # else they are no longer as they were
            session = None

    assert got_through == ALLOWED[route]


def let_expire(services, order_id, seconds):
    """Let an operator move the order's deadline to `seconds` from now."""
    arguments = {"order_id": order_id, "expires_at": iso(utc_now() + timedelta(seconds=seconds))}
    token = Signer(KEYS[OPERATOR][0]).mint_call("orders.move_deadline")
    services.call("orders", "move_deadline", arguments, token=token)


def answers(person, route, ticket_id, order_id):
    """Send a valid request; return whether it succeeded, and check that a refusal shows nothing."""
    method, _, path = route.partition(" ")
    path = path.replace("<ticket_id>", ticket_id).replace("<order_id>", order_id)
    if "<event_id>" in path:
        path = path.replace("<event_id>", person.api("GET", f"/api/tickets/{ticket_id}")["eventId"])
    if "<seller_id>" in path:
        path = path.replace("<seller_id>", person.api("GET", f"/api/tickets/{ticket_id}")["userId"])
    body = {"ticketId": ticket_id, "orderId": order_id, "token": "tok_visa", **TICKET}
    sent = {"json": body} if path.startswith("/api/") else {"data": {**body, "csrf_token": csrf_token(person)}}
    sent = {} if method == "GET" else sent
    answer = person.open(path, method=method, **sent)
    location = answer.headers.get("Location", "")
    done = answer.status_code < 400 and "/signin" not in location
    if not done:
        assert answer.status_code in (303, 401, 403, 404), (route, answer.status_code, answer.text[:300])
        assert "Hamlet" not in answer.text and "clientSecret" not in answer.text
    return done


@pytest.fixture(scope="module")
def things(people, stripe):
    """A ticket with an order in every lasting state, as {states: (ticket's id, order's id)}."""
    made = {}

    def make(states, *steps):
        ticket_id = people.seller.list_ticket()
        order_id = people.buyer.reserve(ticket_id)
        for step in steps:
            step(ticket_id, order_id)
        paths = (f"/api/tickets/{ticket_id}", f"/api/orders/{order_id}")
        assert ", ".join(people.buyer.api("GET", path)["status"] for path in paths) == states
        made[states] = (ticket_id, order_id)

    def cancel(_, order_id):
        people.buyer.api("DELETE", f"/api/orders/{order_id}")

    def withdraw(ticket_id, _):
        people.seller.api("DELETE", f"/api/tickets/{ticket_id}")

    def pay(_, order_id):
        people.buyer.api("POST", "/api/payments", orderId=order_id, token="tok_visa")

    make("on_sale, cancelled", cancel)
    make("withdrawn, cancelled", cancel, withdraw)
    make("reserved, created")
    make("sold, complete", pay)
    stripe.control("faults", kind="error", path="*/capture", count=None)
    make("reserved, awaiting_payment", pay)
    yield made
    stripe.control("faults", method="DELETE")


@pytest.mark.parametrize("states", STATES)
def test_in_no_state_may_others_use_a_route_or_change_anything(services, people, things, states):
    ticket_id, order_id = things[states]
    before = versions(services, ticket_id, order_id)

    got_through = [
        (route, name)
        for route, allowed in ALLOWED.items()
        for name in EVERYBODY - allowed
        if answers(getattr(people, name), route, ticket_id, order_id)
    ]

    assert got_through == []
    assert versions(services, ticket_id, order_id) == before


@pytest.mark.parametrize("states", STATES)
def test_in_no_state_does_reading_change_anything(services, people, things, states):
    ticket_id, order_id = things[states]
    before = versions(services, ticket_id, order_id)

    for route, allowed in ALLOWED.items():
        for name in allowed if route.startswith("GET ") else ():
            answers(getattr(people, name), route, ticket_id, order_id)

    assert versions(services, ticket_id, order_id) == before


def versions(services, ticket_id, order_id):
    """Return the versions of a ticket, its order and, if Stripe has it and is not capturing it, its payment."""
    stores = {name: service.store for name, service in services.services.items()}
    ticket, order = stores["tickets"].tickets.find(ticket_id), stores["orders"].orders.find(order_id)
    payment = stores["payments"].payments.find(order_id)
    found = [ticket["version"], order["version"]]
    begun = payment is not None and payment["stripe_id"] and order["status"] != "awaiting_payment"
    return [*found, payment["version"]] if begun else found


def csrf_token(person):
    page = person.get("/signin", follow_redirects=True).text
    return re.search(r'name="csrf_token" value="([^"]+)"', page)[1]


@pytest.mark.parametrize("path", ["/api/orders", "/api/tickets/mine"])
def test_lists_hold_only_ones_own(path, people):
    ticket_id = people.seller.list_ticket()
    order_id = people.buyer.reserve(ticket_id)

    listed = {name: people.__dict__[name].get(path) for name in ("stranger", "seller", "buyer")}

    owner = "buyer" if path == "/api/orders" else "seller"
    thing = order_id if path == "/api/orders" else ticket_id
    assert [name for name, answer in listed.items() if thing in answer.text] == [owner]
    assert people.nobody.get(path).status_code == 401
