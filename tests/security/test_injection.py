"""NoSQL injection: operators of MongoDB in every field of every body and query are refused."""

import re
from typing import Any

import pytest

from gateway.app import create_app
from gateway.tests.fakes import SETTINGS

UNKNOWN = "0" * 24
OPERATORS = ({"$ne": None}, {"$gt": ""}, {"$in": ["x"]}, [{"$ne": None}], {"$where": "sleep(1)"})
TICKET = {
    "title": "Hamlet",
    "price": "20.00",
    "category": "stage",
    "venue": "Globe",
    "startsAt": "2031-01-01T20:00:00Z",
}
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/users/signup": {"email": "eve@example.org", "password": "correct horse battery"},
    "POST /api/users/signin": {"email": "eve@example.org", "password": "correct horse battery"},
    "POST /api/users/password": {"currentPassword": "correct horse battery", "newPassword": "another long one"},
    "POST /api/tickets": TICKET,
    "PUT /api/tickets/<ticket_id>": TICKET,
    "POST /api/orders": {"ticketId": UNKNOWN, "version": 1},
    "POST /api/payments": {"orderId": UNKNOWN, "token": "tok_visa"},
}
WITHOUT_BODY = {
    "POST /api/users/signout",
    "POST /api/users/signout-everywhere",
    "POST /api/orders/<order_id>/extend",
    "POST /api/orders/<order_id>/payment-intent",
    "POST /api/webhooks/stripe",
}
CASES = [(route, field) for route, body in BODIES.items() for field in body]


@pytest.fixture(scope="module")
def ana(person):
    return person("ana")


def test_every_route_with_a_body_is_in_the_table():
    rules = [rule for rule in create_app(settings=SETTINGS).url_map.iter_rules() if rule.rule.startswith("/api/")]
    with_body = {f"{method} {rule.rule}" for rule in rules for method in rule.methods & {"POST", "PUT", "PATCH"}}

    assert with_body == BODIES.keys() | WITHOUT_BODY


@pytest.mark.parametrize(("route", "field"), CASES)
def test_an_operator_in_a_body_is_refused(route, field, ana):
    method, _, path = route.partition(" ")
    path = path.replace("<ticket_id>", ana.list_ticket() if "<ticket_id>" in path else "")

    for operator in OPERATORS:
        answer = ana.http.request(method, ana.url + path, json=BODIES[route] | {field: operator}, timeout=10)
        assert answer.status_code == 400, (operator, answer.text)
        assert [problem["field"] for problem in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "query", ["q[$ne]=x", "status[$ne]=sold", "min_price[$gt]=", "after[$ne]=x", "$where=sleep(1)"]
)
def test_an_operator_in_a_query_is_ignored_or_refused(query, ana):
    assert ana.get(f"/api/tickets?{query}").status_code in (200, 400)


@pytest.mark.parametrize("value", ['{"$ne":null}', "$ne", "[object Object]", "'; return true; //", "\0"])
def test_an_operator_in_a_path_finds_nothing(value, ana):
    for path in ("/api/tickets/", "/api/orders/"):
        assert ana.get(path + value).status_code == 404


def test_an_operator_in_a_form_signs_nobody_in(nobody):
    page = nobody.get("/signin").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
    form = {"csrf_token": token, "email[$ne]": "", "password[$ne]": ""}

    answer = nobody.http.post(f"{nobody.url}/signin", data=form, allow_redirects=False, timeout=10)

    assert answer.status_code == 400
    assert nobody.get("/api/users/currentuser").json() == {"currentUser": None}
