"""Tickets over the JSON API."""

from unittest.mock import Mock

import pytest

from libs.contracts.limits import CATEGORIES
from libs.rpc import RemoteError

HAMLET = {"title": "Hamlet, row 3", "price": 19.99}
FIELDS = {"id", "title", "price", "currency", "category", "userId", "status", "version", "createdAt", "updatedAt"}


def test_created_ticket_is_on_sale_at_its_price(ana):
    answer = ana.post("/api/tickets", json=HAMLET | {"title": "  Hamlet, row 3 "})

    assert answer.status_code == 201
    assert set(answer.json) >= FIELDS
    assert answer.json | HAMLET | {"status": "on_sale", "category": "other", "currency": "usd"} == answer.json


def test_price_may_be_given_as_text_and_comes_back_as_a_number(ana):
    answer = ana.post("/api/tickets", json=HAMLET | {"price": "19.99"})

    assert answer.json["price"] == 19.99


def test_venue_and_start_come_back_in_utc(ana):
    details = {"venue": "Old Theatre", "startsAt": "2027-01-31T20:30:00+01:00"}

    answer = ana.post("/api/tickets", json=HAMLET | details)

    assert (answer.json["venue"], answer.json["startsAt"]) == ("Old Theatre", "2027-01-31T19:30:00.000Z")


@pytest.mark.parametrize("category", CATEGORIES)
def test_each_category_is_accepted(ana, category):
    assert ana.post("/api/tickets", json=HAMLET | {"category": category}).json["category"] == category


@pytest.mark.parametrize(
    "invalid",
    [
        {"title": ""},
        {"title": "   "},
        {"title": "x" * 201},
        {"title": "two\nlines"},
        {"title": {"$ne": None}},
        {"category": "opera"},
        {"category": None},
        {"venue": 7},
        {"venue": "x" * 201},
        {"startsAt": "tomorrow"},
        {"startsAt": "2027-01-31T19:30:00"},
        {"startsAt": "0001-01-01T00:00:00+14:00"},
        {"startsAt": "2026-01-01T00:00:00Z"},
        {"startsAt": 1800000000},
    ],
)
def test_invalid_field_of_a_ticket_is_refused_and_named(ana, invalid):
    answer = ana.post("/api/tickets", json=HAMLET | invalid)

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json["errors"]] == list(invalid)


def test_errors_of_the_service_are_answered_together_under_the_names_of_the_api(ana, services):
    errors = [{"field": "price_cents", "message": "Too dear."}, {"field": "starts_at", "message": "Too late."}]
    services.tickets_create = Mock(side_effect=RemoteError("InvalidTicket", "Too dear.", {"errors": errors}))

    answer = ana.post("/api/tickets", json=HAMLET)

    assert answer.status_code == 400
    assert answer.json == {
        "errors": [{"message": "Too dear.", "field": "price"}, {"message": "Too late.", "field": "startsAt"}]
    }


def test_values_of_any_type_reach_the_service_so_that_all_errors_are_reported_together(ana):
    body = {"title": {"$ne": None}, "price": [19.99], "category": 1.5, "venue": [[]], "startsAt": "x" * 100_000}

    answer = ana.post("/api/tickets", json=body)

    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json["errors"]] == list(body)


def test_unknown_fields_are_ignored(ana):
    answer = ana.post("/api/tickets", json=HAMLET | {"userId": "somebody", "status": "sold", "version": 9})

    assert (answer.json["status"], answer.json["version"]) == ("on_sale", 1)


def test_list_leads_to_its_next_page(ana, client):
    for number in range(3):
        ana.post("/api/tickets", json={"title": f"Seat {number}", "price": 10 + number})

    first = client.get("/api/tickets?limit=2&sort=price_asc&q=seat")
    following = first.headers["Link"].removeprefix("<").removesuffix('>; rel="next"')

    assert [ticket["title"] for ticket in first.json] == ["Seat 0", "Seat 1"]
    assert [ticket["title"] for ticket in client.get(following).json] == ["Seat 2"]
    assert "Link" not in client.get(following).headers


def test_every_filter_reaches_the_service(client, services):
    client.get(
        "/api/tickets?status=all&q=ham&category=stage&min_price=5&max_price=19.99&sort=price_desc&limit=7&after=0"
    )

    assert services.calls[-1] == (
        "tickets.list",
        {
            "status": "all",
            "q": "ham",
            "category": "stage",
            "min_price_cents": 500,
            "max_price_cents": 1999,
            "sort": "price_desc",
            "limit": 7,
            "after": "0",
        },
    )


@pytest.mark.parametrize(
    "query", ["status=withdrawn", "category=opera", "min_price=cheap", "sort=oldest", "limit=0", "limit=101", "after=x"]
)
def test_invalid_query_is_refused(client, query):
    answer = client.get(f"/api/tickets?{query}")

    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == query.split("=")[0]


def test_seller_lists_and_changes_and_withdraws_own_tickets(ana, ticket):
    changed = ana.put(f"/api/tickets/{ticket['id']}", json={"title": "Hamlet, row 4", "price": 21})
    withdrawn = [ana.delete(f"/api/tickets/{ticket['id']}").status_code for _ in range(2)]
    mine = ana.get("/api/tickets/mine")

    assert (changed.status_code, changed.json["price"], withdrawn) == (200, 21, [204, 204])
    assert [(ticket["title"], ticket["status"]) for ticket in mine.json] == [("Hamlet, row 4", "withdrawn")]


def test_ticket_sent_twice_with_one_key_is_listed_once(ana):
    once = {"Idempotency-Key": "once"}
    first = ana.post("/api/tickets", json=HAMLET, headers=once)
    ana.put(f"/api/tickets/{first.json['id']}", json=HAMLET | {"price": 25})
    again = ana.post("/api/tickets", json=HAMLET, headers=once)
    other = ana.post("/api/tickets", json=HAMLET | {"price": 25}, headers=once)

    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json["id"], again.json["price"]) == (first.json["id"], 25)
    assert (other.status_code, len(ana.get("/api/tickets/mine").json)) == (400, 1)


def test_two_sellers_may_choose_the_same_key(ana, bo):
    listed = [who.post("/api/tickets", json=HAMLET, headers={"Idempotency-Key": "1"}).json["id"] for who in (ana, bo)]

    assert listed[0] != listed[1]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "é"])
def test_invalid_idempotency_key_is_refused(ana, key):
    assert ana.post("/api/tickets", json=HAMLET, headers={"Idempotency-Key": key}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"If-Match": '"1"'}, {}),
        ({}, {"version": 1}),
        ({"If-Match": "*"}, {"version": 1}),
        ({"If-Match": '"1"'}, {"version": 1}),
    ],
)
def test_edit_of_an_older_version_does_not_restore_the_old_price(ana, ticket, headers, body):
    path = f"/api/tickets/{ticket['id']}"
    ana.put(path, json=HAMLET | {"price": 25})

    late = ana.put(path, json=HAMLET | {"price": 19} | body, headers=headers)

    assert (late.status_code, late.json["errors"][0]["field"]) == (409, "version")
    assert ana.get(path).json["price"] == 25


@pytest.mark.parametrize("version", [1, 3])
def test_edit_that_names_two_versions_is_refused_as_such(ana, ticket, version):
    edit, path = HAMLET | {"price": 25, "version": version}, f"/api/tickets/{ticket['id']}"

    refused = ana.put(path, json=edit, headers={"If-Match": '"2"'})

    assert (refused.status_code, ana.get(path).json["version"]) == (400, 1)
    assert refused.json["errors"] == [
        {"message": "The version in the body is not the one in If-Match.", "field": "version"}
    ]


def test_ticket_that_has_changed_is_not_withdrawn_by_who_has_not_seen_that(ana, ticket):
    path = f"/api/tickets/{ticket['id']}"
    seen = ana.get(path).headers["ETag"]
    ana.put(path, json=HAMLET | {"price": 25})

    late = ana.delete(path, headers={"If-Match": seen})
    left = ana.get(path)
    withdrawn = [ana.delete(path, headers={"If-Match": left.headers["ETag"]}).status_code for _ in range(2)]

    assert (late.status_code, late.json["errors"][0]["version"], left.json["status"]) == (409, 2, "on_sale")
    assert withdrawn == [204, 204]


def test_edit_of_the_version_that_the_seller_saw_is_saved(ana, ticket):
    path = f"/api/tickets/{ticket['id']}"
    saved = ana.put(path, json=HAMLET | {"price": 25}, headers={"If-Match": ana.get(path).headers["ETag"]})
    again = ana.put(path, json=HAMLET | {"price": 24}, headers={"If-Match": saved.headers["ETag"]})

    assert [(answer.status_code, answer.headers["ETag"]) for answer in (saved, again)] == [(200, '"2"'), (200, '"3"')]


def test_edit_sent_again_after_a_lost_reply_is_saved(ana, ticket):
    answers = [ana.put(f"/api/tickets/{ticket['id']}", json=HAMLET | {"price": 25, "version": 1}) for _ in range(2)]

    assert [(answer.status_code, answer.json["version"]) for answer in answers] == [(200, 2), (200, 2)]


@pytest.mark.parametrize("etag", ["1", 'W/"1"', '"x"', '"1", "2"', "", '"0"', '"9999999999"'])
def test_if_match_that_is_no_etag_of_ours_is_refused(ana, ticket, etag):
    answer = ana.put(f"/api/tickets/{ticket['id']}", json=HAMLET, headers={"If-Match": etag})

    assert answer.status_code == 400


@pytest.mark.parametrize("version", [0, 1.5, "1", True, {"$gt": 0}])
def test_version_of_an_edit_is_an_integer(ana, ticket, version):
    assert ana.put(f"/api/tickets/{ticket['id']}", json=HAMLET | {"version": version}).status_code == 400


def test_version_may_be_written_as_a_decimal(ana, ticket):
    body = '{"title": "Hamlet", "price": 25, "version": 1.0}'

    answer = ana.put(f"/api/tickets/{ticket['id']}", data=body, content_type="application/json")

    assert (answer.status_code, answer.json["version"]) == (200, 2)


def test_reserved_ticket_cannot_be_changed(ana, bo, ticket):
    bo.post("/api/orders", json={"ticketId": ticket["id"]})

    answers = [ana.put(f"/api/tickets/{ticket['id']}", json=HAMLET), ana.delete(f"/api/tickets/{ticket['id']}")]

    assert [answer.status_code for answer in answers] == [409, 409]


def test_somebody_elses_ticket_cannot_be_changed(bo, ticket):
    answers = [bo.put(f"/api/tickets/{ticket['id']}", json=HAMLET), bo.delete(f"/api/tickets/{ticket['id']}")]

    assert [answer.status_code for answer in answers] == [403, 403]


@pytest.mark.parametrize("status", ["on_sale", "started", "reserved", "sold", "withdrawn", "all"])
def test_own_tickets_are_filtered_by_state(ana, bo, services, status):
    for state in ("on_sale", "started", "reserved", "sold", "withdrawn"):
        ticket = ana.post("/api/tickets", json=HAMLET | {"title": state}).json
        if state == "withdrawn":
            ana.delete(f"/api/tickets/{ticket['id']}")
        elif state == "started":
            services.tickets[ticket["id"]]["starts_at"] = "2020-01-01T00:00:00.000Z"
        elif state != "on_sale":
            order = bo.post("/api/orders", json={"ticketId": ticket["id"]}).json
            state == "sold" and bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})

    found = ana.get(f"/api/tickets/mine?status={status}").json

    assert {ticket["title"] for ticket in found} == {ticket["status"] for ticket in found}
    assert len(found) == (5 if status == "all" else 1)


def test_what_has_started_is_not_on_sale(ana, client, ticket, services):
    services.tickets[ticket["id"]]["starts_at"] = "2020-01-01T00:00:00.000Z"

    own = ana.get("/api/tickets/mine").json[0]
    assert (client.get(f"/api/tickets/{ticket['id']}").json["status"], own["status"]) == ("started", "started")


def test_lowest_price_above_the_highest_is_reported(client):
    answer = client.get("/api/tickets?min_price=20&max_price=19.99")

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (400, "max_price")
    assert client.get("/api/tickets?min_price=20&max_price=20").status_code == 200


def test_unknown_state_of_own_tickets_is_refused(ana):
    assert ana.get("/api/tickets/mine?status=over").status_code == 400
