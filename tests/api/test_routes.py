"""Edge cases of the API that need the real services: paging, search, idempotency keys, versions, states."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from secrets import token_hex

import pytest
import requests

from dev.testing import metric, wait_for
from tests.e2e.people import Person
from tests.e2e.test_races import all_at_once

pytestmark = pytest.mark.usefixtures("at_rest_in_the_end")

UNKNOWN = "0" * 24
LATER = "2031-01-31T19:30:00.000Z"


@pytest.fixture
def word():
    """A word that only this test's tickets have, to search for them."""
    return f"w{token_hex(4)}"


def sell(seller, title, price=20, **details):
    answer = seller.post("/api/tickets", {"title": title, "price": price, **details})
    assert answer.status_code == 201, answer.text
    return answer.json()


def pages(person, path):
    """Yield each page of a list, by following its Link headers."""
    while path:
        answer = person.get(path)
        assert answer.status_code == 200, answer.text
        yield answer.json()
        path = answer.links.get("next", {}).get("url", "").removeprefix(person.url)


def titles(person, query):
    return [ticket["title"] for page in pages(person, f"/api/tickets?{query}") for ticket in page]


# pages


@pytest.mark.parametrize("sort", ["newest", "price_asc", "price_desc"])
def test_pages_hold_everything_once_and_in_order(ana, word, sort):
    made = [sell(ana, f"{word} {number}", 20 + number % 3) for number in range(8)]

    found = [ticket for page in pages(ana, f"/api/tickets?q={word}&sort={sort}&limit=3") for ticket in page]

    sign = {"newest": 0, "price_asc": 1, "price_desc": -1}[sort]
    order = sorted(made, key=lambda ticket: (sign * ticket["price"], ticket["id"]), reverse=sign == 0)
    if sign == -1:
        order = sorted(made, key=lambda ticket: (ticket["price"], ticket["id"]), reverse=True)
    assert [ticket["id"] for ticket in found] == [ticket["id"] for ticket in order]


def test_pages_are_consistent_while_tickets_are_listed_and_sold(ana, bo, word):
    made = [sell(ana, f"{word} {number}") for number in range(6)]
    found = pages(bo, f"/api/tickets?q={word}&limit=2")
    seen = next(found)

    sell(ana, f"{word} new")
    bo.reserve(made[5]["id"])
    seen += [ticket for page in found for ticket in page]

    assert [ticket["id"] for ticket in seen] == [ticket["id"] for ticket in reversed(made)]


def test_own_orders_and_tickets_are_paged_too(ana, bo, word):
    made = [sell(ana, f"{word} {number}") for number in range(3)]
    orders = [bo.reserve(ticket["id"]) for ticket in made]

    assert [[order["id"] for order in page] for page in pages(bo, "/api/orders?limit=2")] == [
        [orders[2], orders[1]],
        [orders[0]],
    ]
    assert [len(page) for page in pages(ana, "/api/tickets/mine?limit=2")] == [2, 1]


@pytest.mark.parametrize(
    "after", ["x", "e30", "eyJfaWQiOiB7IiRndCI6ICIifX0", "%00", "eyJwcmljZV9jZW50cyI6OTIyMzM3MjAzNjg1NDc3NTgwOH0"]
)
def test_an_invalid_cursor_is_refused(bo, after):
    for path in ("/api/tickets", "/api/tickets?sort=price_asc", "/api/tickets/mine", "/api/orders"):
        answer = bo.get(f"{path}{'&' if '?' in path else '?'}after={after}")

        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "after")


# search and filters


def test_search_filters_and_order_work_together(ana, bo, word):
    sell(ana, f"{word} cheap", 5, category="match")
    sell(ana, f"{word} dear", 50, category="stage", venue="Old Theatre")
    taken = sell(ana, f"{word} taken", 20, category="stage")
    bo.reserve(taken["id"])
    bo.wait_for_ticket(taken["id"], "reserved")

    assert titles(bo, f"q={word}") == [f"{word} dear", f"{word} cheap"]
    assert titles(bo, f"q={word.upper()[:6]} OLD") == [f"{word} dear"]
    assert titles(bo, f"q={word}&category=match") == [f"{word} cheap"]
    assert titles(bo, f"q={word}&min_price=5.01&max_price=50") == [f"{word} dear"]
    assert titles(bo, f"q={word}&status=reserved") == [f"{word} taken"]
    assert titles(bo, f"q={word}&status=all&sort=price_asc") == [
        f"{word} {state}" for state in ("cheap", "taken", "dear")
    ]
    assert titles(bo, f"q={word}&min_price=60") == []


def test_own_tickets_are_filtered_by_state(ana, bo):
    made = {state: sell(ana, state) for state in ("on_sale", "reserved", "sold", "withdrawn")}
    bo.reserve(made["reserved"]["id"])
    assert bo.pay(bo.reserve(made["sold"]["id"])).status_code == 201
    assert ana.delete(f"/api/tickets/{made['withdrawn']['id']}").status_code == 204

    for state, ticket in made.items():
        bo.wait_for_ticket(ticket["id"], state)
        assert [own["title"] for own in ana.get(f"/api/tickets/mine?status={state}").json()] == [state]
    assert len(ana.get("/api/tickets/mine").json()) == 4


# reserving


def test_the_same_key_returns_the_same_order_and_is_refused_for_another_ticket(ana, bo):
    first, other = ana.list_ticket(), ana.list_ticket()
    key = {"Idempotency-Key": token_hex(8)}
    orders = [bo.post("/api/orders", {"ticketId": first}, **key) for _ in range(2)]

    reused = bo.post("/api/orders", {"ticketId": other}, **key)

    assert [order.status_code for order in orders] == [201, 201]
    assert orders[0].json()["id"] == orders[1].json()["id"]
    assert (reused.status_code, "Idempotency-Key" in reused.json()["errors"][0]["message"]) == (400, True)


def test_the_same_key_sent_concurrently_makes_one_order(ana, bo):
    for _ in range(5):
        ticket_id, key = ana.list_ticket(), {"Idempotency-Key": token_hex(8)}

        answers = all_at_once([partial(bo.post, "/api/orders", {"ticketId": ticket_id}, **key)] * 6)

        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1


def test_the_same_key_sent_concurrently_lists_one_ticket(ana, word):
    key = {"Idempotency-Key": token_hex(8)}

    answers = all_at_once([partial(ana.post, "/api/tickets", {"title": word, "price": 20}, **key)] * 6)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == len(titles(ana, f"q={word}")) == 1


def test_keys_of_users_are_independent(ana, bo, person):
    key = {"Idempotency-Key": token_hex(8)}
    ticket_id = ana.list_ticket()
    bo.post("/api/orders", {"ticketId": ticket_id}, **key)

    assert person("cy").post("/api/orders", {"ticketId": ticket_id}, **key).status_code == 409


def test_a_price_changed_while_ordering_is_refused_with_the_new_one(ana, bo):
    seen = sell(ana, "Hamlet", 20)
    ana.http.put(f"{ana.url}/api/tickets/{seen['id']}", json={"title": "Hamlet", "price": 25}, timeout=10)

    def refused():
        return bo.post("/api/orders", {"ticketId": seen["id"], "version": seen["version"]})

    answer = refused()
    if answer.status_code == 201:  # orders had not received the change: this buyer has the price that they saw
        assert answer.json()["ticket"]["price"] == 20
        return
    assert (answer.status_code, answer.json()["errors"][0]["price"]) == (409, 25)


def test_a_hold_that_lapsed_is_no_conflict_for_seller_and_buyers_who_saw_the_ticket_before(ana, bo, person):
    ticket = {"title": "Hamlet, row 3", "price": 19.99}
    seen = ana.post("/api/tickets", ticket).json()
    bo.delete(f"/api/orders/{bo.reserve(seen['id'])}")
    bo.wait_for_ticket(seen["id"], "on_sale")

    edit = {**ticket, "title": "Hamlet, row 4"}
    matched = {"If-Match": f'"{seen["version"]}"'}
    edited = ana.http.put(f"{ana.url}/api/tickets/{seen['id']}", json=edit, headers=matched, timeout=10)
    ordered = person("cy").post("/api/orders", {"ticketId": seen["id"], "version": seen["revision"]})

    assert (edited.status_code, ordered.status_code) == (200, 201), (edited.text, ordered.text)


def test_a_buyer_who_saw_an_older_version_is_refused_with_the_new_price(ana, bo, person):
    seen = sell(ana, "Hamlet", 20)
    dearer = {"title": "Hamlet", "price": 25}
    changed = ana.http.put(f"{ana.url}/api/tickets/{seen['id']}", json=dearer, timeout=10).json()
    order = bo.post("/api/orders", {"ticketId": seen["id"], "version": changed["version"]}).json()
    bo.delete(f"/api/orders/{order['id']}")

    refused = person("cy").post("/api/orders", {"ticketId": seen["id"], "version": seen["version"]})

    (problem,) = refused.json()["errors"]
    assert (refused.status_code, problem["field"], problem["price"]) == (409, "version", 25)
    assert person("dee").post("/api/orders", {"ticketId": seen["id"], "version": problem["version"]}).status_code == 201


def test_a_buyer_who_saw_the_new_price_pays_it(ana, bo):
    for _ in range(10):
        ticket = sell(ana, "Hamlet", 20)
        changed = ana.http.put(
            f"{ana.url}/api/tickets/{ticket['id']}", json={"title": "Hamlet", "price": 25}, timeout=10
        ).json()

        order = bo.post("/api/orders", {"ticketId": ticket["id"], "version": changed["version"]})

        assert (order.status_code, order.json()["ticket"]["price"]) == (201, 25)


def test_a_reserved_ticket_is_neither_edited_nor_withdrawn(ana, bo):
    ticket_id = ana.list_ticket()
    bo.reserve(ticket_id)
    bo.wait_for_ticket(ticket_id, "reserved")

    edited = ana.http.put(f"{ana.url}/api/tickets/{ticket_id}", json={"title": "Macbeth", "price": 99}, timeout=10)

    assert (edited.status_code, ana.delete(f"/api/tickets/{ticket_id}").status_code) == (409, 409)


def test_withdrawing_during_a_reservation_ends_in_one_or_the_other(ana, bo):
    for _ in range(5):
        ticket_id = ana.list_ticket()

        withdrawn, ordered = all_at_once(
            [
                partial(ana.delete, f"/api/tickets/{ticket_id}"),
                partial(bo.post, "/api/orders", {"ticketId": ticket_id}),
            ]
        )

        if ordered.status_code == 201 and withdrawn.status_code == 204:
            bo.wait_for_ticket(ticket_id, "reserved")
            assert bo.delete(f"/api/orders/{ordered.json()['id']}").status_code == 204
        assert {withdrawn.status_code, ordered.status_code} <= {201, 204, 409}
        bo.wait_for_ticket(ticket_id, "withdrawn" if withdrawn.status_code == 204 else "reserved")


def test_a_withdrawn_ticket_stays_readable_and_leaves_the_list(ana, bo, word):
    ticket = sell(ana, word)

    assert [ana.delete(f"/api/tickets/{ticket['id']}").status_code for _ in range(2)] == [204, 204]

    assert bo.ticket(ticket["id"])["status"] == "withdrawn"
    assert titles(bo, f"q={word}") == []
    wait_for(lambda: refuses(bo, ticket["id"]), what="orders to receive the withdrawal")


def refuses(buyer, ticket_id):
    return buyer.post("/api/orders", {"ticketId": ticket_id}).status_code == 409


def test_the_seller_cannot_buy_their_own_ticket(ana):
    assert ana.post("/api/orders", {"ticketId": ana.list_ticket()}).status_code == 403


# the start


def test_nothing_is_on_sale_or_reserved_after_it_started(ana, bo, word):
    starts_at = datetime.now(UTC) + timedelta(seconds=2)
    early, late = (sell(ana, f"{word} {name}", startsAt=starts_at.isoformat()) for name in ("early", "late"))
    order = bo.post("/api/orders", {"ticketId": early["id"]}).json()
    assert titles(bo, f"q={word}&sort=price_asc") != []

    assert datetime.fromisoformat(order["expiresAt"]) == datetime.fromisoformat(early["startsAt"])
    wait_for(lambda: datetime.now(UTC) > starts_at, what="it to start")

    assert titles(bo, f"q={word}") == []
    assert bo.post("/api/orders", {"ticketId": late["id"]}).status_code == 409
    bo.wait_for_order(order["id"], "cancelled")
    assert bo.pay(order["id"]).status_code == 409
    started, on_sale = (ana.get(f"/api/tickets/mine?status={status}").json() for status in ("started", "on_sale"))
    assert [(ticket["title"], ticket["status"]) for ticket in started] == [
        (f"{word} late", "started"),
        (f"{word} early", "started"),
    ]
    assert on_sale == []


def test_venue_and_start_are_copied_into_the_order(ana, bo):
    ticket = sell(ana, "Hamlet", venue="Old Theatre", startsAt=LATER)

    order = bo.post("/api/orders", {"ticketId": ticket["id"]}).json()

    assert (order["ticket"]["venue"], order["ticket"]["startsAt"]) == ("Old Theatre", LATER)


# the order of the checks


def test_a_request_with_every_error_is_refused_in_a_fixed_order(ana, bo, system):
    ticket_id, kind = ana.list_ticket(), {"Content-Type": "application/json"}
    order_id = bo.reserve(ticket_id)
    bo.wait_for_ticket(ticket_id, "reserved")
    nobody, right = Person(system.gateway_url, "nobody"), b'{"title": "Macbeth", "price": 20}'

    def put(who, ident, body, headers=kind):
        return who.http.put(f"{who.url}/api/tickets/{ident}", data=body, headers=headers, timeout=10).status_code

    huge = b"x" * (1024 * 1024 + 1)
    assert put(nobody, UNKNOWN, huge, {"Content-Type": "text/plain"}) == 415
    assert put(nobody, UNKNOWN, huge) == 413
    assert put(nobody, UNKNOWN, b"{") == 401
    assert put(bo, UNKNOWN, b"{") == 400
    assert put(bo, UNKNOWN, right) == 404
    assert put(bo, ticket_id, right) == 403
    assert put(ana, ticket_id, right) == 409
    assert bo.delete(f"/api/orders/{order_id}").status_code == 204
    ana.wait_for_ticket(ticket_id, "on_sale")
    assert put(ana, ticket_id, right) == 200


def test_an_order_is_looked_up_before_its_owner_and_state_are_checked(ana, bo):
    order_id = bo.reserve(ana.list_ticket())
    bo.pay(order_id)
    bo.wait_for_order(order_id, "complete")

    assert ana.delete(f"/api/orders/{UNKNOWN}").status_code == 404
    assert ana.delete(f"/api/orders/{order_id}").status_code == 403
    assert bo.delete(f"/api/orders/{order_id}").status_code == 409


# bodies


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"ticketId": NaN}',
        b'{"ticketId": Infinity}',
        b'{"a":' * 200_000,
        b"[" * 200_000,
        b'{"ticketId": "a", "ticketId": "b"}',
        b"\xff\xfe{}",
        b'{"ticketId": {"$ne": null}}',
        b'{"ticketId": ["a"]}',
        b'{"ticketId": 7}',
        b'{"ticketId": "0123456789abcdef01234567", "version": "1"}',
        b'{"ticketId": "0123456789abcdef01234567", "version": 1e400}',
        b'{"ticketId": "0123456789abcdef01234567", "version": 99999999999999999999}',
    ],
)
def test_an_invalid_body_is_400(bo, body):
    answer = bo.http.post(f"{bo.url}/api/orders", data=body, headers={"Content-Type": "application/json"}, timeout=10)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]


def test_a_huge_body_is_413_with_or_without_a_content_length(bo):
    def send(body):
        headers = {"Content-Type": "application/json"}
        return bo.http.post(f"{bo.url}/api/tickets", data=body, headers=headers, timeout=10).status_code

    assert send(b"x" * (1024 * 1024 + 1)) == 413
    assert send(b"x" * 65536 for _ in range(17)) == 413


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_a_compressed_body_is_refused(bo, coding):
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}

    assert bo.http.post(f"{bo.url}/api/tickets", data=b"\x1f\x8b\x08", headers=headers, timeout=10).status_code == 415


@pytest.mark.parametrize("ident", ["x", "%00", "..%2f..", "{}", "0" * 23, "A" * 24, "%F0%9F%8E%AB", "0" * 500])
def test_a_malformed_id_is_404(bo, ident):
    for path in (f"/api/tickets/{ident}", f"/api/orders/{ident}"):
        assert bo.get(path).status_code == 404


def test_a_malformed_cookie_is_no_session(system):
    for cookie in ("x", "a.b.c", "eyJ0b2tlbiI6MX0.x.y", '"', "%00"):
        headers = {"Cookie": f"ticketing-session={cookie}"}
        answer = requests.get(f"{system.gateway_url}/api/orders", headers=headers, timeout=10)
        assert answer.status_code == 401


# the rest


def test_the_gateway_is_ready_counts_for_all_workers_and_describes_itself(system, bo):
    def answered():
        return metric(system.ports.metrics_of("gateway"), "http_requests_total", method="GET", route="/healthz")

    bo.get("/healthz")
    before = answered()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: requests.get(f"{system.gateway_url}/healthz", timeout=10), range(40)))

    assert answered() == before + 40
    assert bo.get("/readyz").json() == {"status": "ready"}
    assert bo.get("/api/openapi.json").json()["openapi"].startswith("3.1")
    assert bo.get("/api/docs").status_code == 200
