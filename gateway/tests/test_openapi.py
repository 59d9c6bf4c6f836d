"""The OpenAPI description matches the API."""

import re

import pytest
from jsonschema_rs import validate

from gateway.openapi.operations import HIDDEN, OPERATIONS


@pytest.fixture
def document(client):
    return client.get("/api/openapi.json").json


def test_every_route_of_the_api_is_described(app, document):
    routes = {rule.endpoint: rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/")}

    assert set(routes) == set(OPERATIONS) | set(HIDDEN)
    for endpoint in OPERATIONS:
        path = re.sub(r"<(\w+)>", r"{\1}", routes[endpoint].rule)
        assert set(document["paths"][path]) <= {"get", "post", "put", "delete"}


def test_every_operation_has_a_summary_and_a_unique_id(document):
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]

    assert len({operation["operationId"] for operation in operations}) == len(operations) == len(OPERATIONS)
    assert all(operation["summary"].endswith(".") for operation in operations)


def test_operations_that_need_a_session_say_so(document, client):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answer = client.open(re.sub(r"{\w+}", "0" * 24, path), method=method.upper())
            assert (answer.status_code == 401) == bool(operation["security"]), (method, path)


def test_description_holds_what_is_validated(document):
    body, query = (
        document["components"]["schemas"]["TicketBody"],
        document["paths"]["/api/tickets"]["get"]["parameters"],
    )

    assert (body["properties"]["title"]["maxLength"], body["required"]) == (200, ["price", "title"])
    assert body["properties"]["price"]["minimum"] == 0.5
    assert {parameter["name"] for parameter in query} >= {"q", "min_price", "max_price", "after", "sort"}


def test_description_gives_no_default_to_what_an_edit_keeps_when_it_is_left_out(document):
    edit = document["components"]["schemas"]["TicketEditBody"]["properties"]

    assert [name for name, held in edit.items() if "default" in held] == ["category", "venue", "startsAt", "version"]


def test_description_says_how_to_keep_a_session_and_when_to_try_again(client, document):
    start = client.get("/api/docs").text
    responses = [
        each for methods in document["paths"].values() for one in methods.values() for each in one["responses"].items()
    ]

    assert "-b cookies -c cookies" in start and "12 hours" in start and "an hour after the last request" in start
    assert all(
        ("Retry-After" in answer.get("headers", {})) == (status in ("429", "503")) for status, answer in responses
    )


def test_every_answer_has_the_fields_and_types_of_its_description(document, client, ana, bo, ticket):
    order = bo.post("/api/orders", json={"ticketId": ticket["id"]}).json
    sell, pay = {"title": "Othello", "price": 5, "startsAt": "2030-01-01T20:00:00Z"}, {"orderId": order["id"]}
    other = ana.post("/api/tickets", json=sell | {"title": "Macbeth"}).json["eventId"]
    answers = {
        ("post", "/api/tickets"): ana.post("/api/tickets", json=sell),
        ("get", "/api/tickets"): client.get("/api/tickets?status=all"),
        ("get", "/api/tickets/mine"): ana.get("/api/tickets/mine"),
        ("get", "/api/tickets/{ticket_id}"): client.get(f"/api/tickets/{ticket['id']}"),
        ("post", "/api/orders"): bo.post("/api/orders", json={"ticketId": ticket["id"]}),
        ("get", "/api/orders"): bo.get("/api/orders"),
        ("get", "/api/orders/{order_id}"): bo.get(f"/api/orders/{order['id']}"),
        ("post", "/api/orders/{order_id}/payment-intent"): bo.post(
            f"/api/orders/{order['id']}/payment-intent", json={}
        ),
        ("post", "/api/payments"): bo.post("/api/payments", json=pay | {"token": "tok_visa"}),
        ("get", "/api/events/{event_id}"): client.get(f"/api/events/{ticket['eventId']}"),
        ("get", "/api/events/{event_id}/tickets"): client.get(f"/api/events/{other}/tickets"),
        ("get", "/api/sellers/{seller_id}"): client.get(f"/api/sellers/{ticket['userId']}"),
        ("get", "/api/users/currentuser"): bo.get("/api/users/currentuser"),
        ("get", "/api/users/sessions"): bo.get("/api/users/sessions"),
    }

    for (method, path), answer in answers.items():
        responses = document["paths"][path][method]["responses"]
        described = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
        validate({**described, "components": document["components"]}, answer.json)
        for sent in answer.json if isinstance(answer.json, list) else [answer.json]:
            assert set(sent) == set(fields_of(described, document)), path
    assert [len(answers["get", path].json) for path in ("/api/tickets", "/api/orders")] == [3, 1]


def fields_of(described, document):
    """Return the names of the fields of what is described, or of each of a list of it."""
    name = described.get("items", described)["$ref"].rpartition("/")[2]
    return document["components"]["schemas"][name]["properties"]


def test_every_reference_resolves(document):
    named = set(re.findall(r"'#/components/schemas/(\w+)'", str(document)))

    assert named == set(document["components"]["schemas"])


def test_page_shows_every_route_and_obeys_the_policy(client, document):
    page = client.get("/api/docs").text

    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    for schema in document["components"]["schemas"]:
        assert f'id="{schema}"' in page
    assert "<code>Link</code>" in page and "`" not in page
    assert not re.search(r"<script(?! src=)", page) and "style=" not in page and "<style" not in page


def test_page_says_which_category_a_ticket_has_without_one(client):
    assert "one of movie, concert, match, show, stage, other; other when absent" in client.get("/api/docs").text
