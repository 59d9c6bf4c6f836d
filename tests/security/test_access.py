"""Authorization: every route with a ticket, order, payment or session in it, by visitor, stranger, seller and buyer."""

import re
from types import SimpleNamespace

import pymongo
import pytest
import requests

from dev.testing import wait_for
from gateway.app import create_app
from gateway.tests.fakes import SETTINGS

STATES = (
    *("on_sale, cancelled", "withdrawn, cancelled", "reserved, created"),
    *("reserved, awaiting_payment", "sold, complete"),
)
EVERYBODY = {"nobody", "stranger", "seller", "buyer"}
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


@pytest.fixture(scope="module")
def people(person, nobody):
    signed_in = {name: person(name) for name in ("stranger", "seller", "buyer")}
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
def test_only_those_allowed_may_use_a_route(route, people, operator):
    got_through, things, session = set(), None, None

    for name in ("nobody", "stranger", "seller", "buyer"):
        things = things or (people.seller.list_ticket(), people.buyer.reserve(people.seller.list_ticket()))
        session = session or (people.buyer.session_elsewhere() if "<session_id>" in route else "-")
        if "extend" in route:
            operator.let_expire(things[1], 100)
        if answers(getattr(people, name), route.replace("<session_id>", session), *things):
            got_through.add(name)
            things = things if route.startswith("GET ") else None  # else they are no longer as they were
            session = None

    assert got_through == ALLOWED[route]


def answers(person, route, ticket_id, order_id):
    """Send a valid request; return whether it succeeded, and check that a refusal shows nothing."""
    method, _, path = route.partition(" ")
    path = path.replace("<ticket_id>", ticket_id).replace("<order_id>", order_id)
    if "<event_id>" in path:
        path = path.replace("<event_id>", person.get(f"/api/tickets/{ticket_id}").json()["eventId"])
    if "<seller_id>" in path:
        path = path.replace("<seller_id>", person.get(f"/api/tickets/{ticket_id}").json()["userId"])
    body = {"ticketId": ticket_id, "orderId": order_id, "token": "tok_visa", **TICKET}
    sent = {"json": body} if path.startswith("/api/") else {"data": {**body, "csrf_token": csrf_token(person)}}
    sent = {} if method == "GET" else sent
    answer = person.http.request(method, person.url + path, allow_redirects=False, timeout=30, **sent)
    location = answer.headers.get("Location", "")
    done = answer.status_code < 400 and "/signin" not in location
    if not done:
        assert answer.status_code in (303, 401, 403, 404), (route, answer.status_code, answer.text[:300])
        assert "Hamlet" not in answer.text and "clientSecret" not in answer.text
    return done


@pytest.fixture(scope="module")
def things(system, people):
    """A ticket with an order in every lasting state, as {states: (ticket's id, order's id)}."""
    made = {}

    def make(ticket_status, order_status, *steps):
        ticket_id = people.seller.list_ticket()
        order_id = people.buyer.reserve(ticket_id)
        for step in steps:
            step(ticket_id, order_id)
        people.buyer.sees_order(order_id, order_status)
        people.buyer.sees_ticket(ticket_id, ticket_status)
        wait_for(lambda: is_known_to_payments(system, order_id))
        made[f"{ticket_status}, {order_status}"] = (ticket_id, order_id)

    def cancel(_, order_id):
        people.buyer.delete(f"/api/orders/{order_id}")

    def withdraw(ticket_id, _):
        wait_for(lambda: people.seller.delete(f"/api/tickets/{ticket_id}").status_code == 204)

    def pay(_, order_id):
        assert people.buyer.pay(order_id).status_code == 201

    make("on_sale", "cancelled", cancel)
    make("withdrawn", "cancelled", cancel, withdraw)
    make("reserved", "created")
    make("sold", "complete", pay)
    faults = f"{system.stripe_url}/_control/faults"
    requests.post(faults, json={"kind": "error", "path": "*/capture", "count": None}, timeout=5)
    try:
        make("reserved", "awaiting_payment", pay)
        yield made
    finally:
        requests.delete(faults, timeout=5)


@pytest.mark.parametrize("states", STATES)
def test_in_no_state_may_others_use_a_route_or_change_anything(system, people, things, states):
    ticket_id, order_id = things[states]
    before = versions(system, ticket_id, order_id)

    got_through = [
        (route, name)
        for route, allowed in ALLOWED.items()
        for name in EVERYBODY - allowed
        if answers(getattr(people, name), route, ticket_id, order_id)
    ]

    assert got_through == []
    assert versions(system, ticket_id, order_id) == before


@pytest.mark.parametrize("states", STATES)
def test_in_no_state_does_reading_change_anything(system, people, things, states):
    ticket_id, order_id = things[states]
    before = versions(system, ticket_id, order_id)

    for route, allowed in ALLOWED.items():
        for name in allowed if route.startswith("GET ") else ():
            answers(getattr(people, name), route, ticket_id, order_id)

    assert versions(system, ticket_id, order_id) == before


def is_known_to_payments(system, order_id):
    with pymongo.MongoClient(system.mongo_url("admin")) as mongo:
        order, payment = mongo.orders.orders.find_one(order_id), mongo.payments.payments.find_one(order_id)
        return payment is None or payment["order"]["version"] == order["version"]


def versions(system, ticket_id, order_id):
    """Return the versions of a ticket, its order and, if Stripe has it and is not capturing it, its payment."""
    with pymongo.MongoClient(system.mongo_url("admin")) as mongo:
        ticket, order = mongo.tickets.tickets.find_one(ticket_id), mongo.orders.orders.find_one(order_id)
        payment = mongo.payments.payments.find_one(order_id)
        found = [ticket["version"], order["version"]]
        begun = payment is not None and payment["stripe_id"] and order["status"] != "awaiting_payment"
        return [*found, payment["version"]] if begun else found


def csrf_token(person):
    page = person.get("/signin").text
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
