"""The lists: right, and of the same cost whatever the number of tickets."""

import random
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from pymongo import MongoClient

from libs.events.catalogue import TicketCreated, TicketUpdated
from tickets import domain, store
from tickets.store import TicketStore, on_offer

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MANY, PAGE = 1500, 20
WORDS = ("Hamlet", "row", "Opera", "Derby", "North", "stand", "Festival", "pass", "gala", "Night")


def a_ticket(number=0, **details):
    said = {"title": f"Seat {number}", "price_cents": 1000, "category": "stage", **details}
    return domain.listed(store.new_id(), "ana", "usd", NOON, **said)


def an_order(status, number=1, price_cents=1000, refunded_at=None, refunded_cents=0):
    numbers = {"reservation_no": number, "version": 1, "price_cents": price_cents}
    return {
        "id": "o1",
        "status": status,
        "expires_at": NOON,
        "refunded_at": refunded_at,
        **numbers,
        "refunded_cents": refunded_cents,
    }


@pytest.fixture
def tickets(mongo):
    tickets = TicketStore(mongo)
    tickets.create_indexes()
    return tickets


@pytest.fixture
def listed(tickets):
    """Return what puts tickets on sale."""

    def listed(*details):
        for said in details:
            tickets.add(a_ticket(**said), TicketCreated)

    return listed


@pytest.fixture(scope="module")
def many(servers):
    """Tickets of every kind, in few prices, so that many are alike."""
    chance, name = random.Random(7), f"test_{secrets.token_hex(6)}"
    with MongoClient(servers.mongo_url(name), tz_aware=True) as client:
        tickets = TicketStore(client.get_default_database())
        tickets.create_indexes()
        documents = [store.stored(some_ticket(chance, number)) for number in range(MANY)]
        tickets.tickets.collection.insert_many([{"_id": found.pop("id"), **found} for found in documents])
        yield tickets
        client.drop_database(name)


def some_ticket(chance, number):
    title = f"{chance.choice(WORDS)} {chance.choice(WORDS)} {number}"
    details = {"category": chance.choice(domain.CATEGORIES), "price_cents": chance.choice((1000, 2000, 3000))}
    ticket = a_ticket(title=title, venue="Old Theatre", **details)
    status = chance.choice(("on_sale", "on_sale", "created", "complete", "cancelled"))
    if status != "on_sale":
        ticket.follow(an_order(status), NOON)
    return replace(ticket, withdrawn=chance.random() < 0.1)


def titles(tickets, status="on_sale", sort="newest", limit=50, **filters):
    return [ticket.title for ticket in tickets.list(on_offer(status, NOON, **filters), sort, limit, None)]


def walk(tickets, where, sort, limit=PAGE):
    """Return all pages of a list."""
    after, pages = None, []
    while page := tickets.list(where, sort, limit, after):
        pages.append(page)
        after = store.position(page[-1], sort)
    return pages


def stages(plan):
    yield plan["stage"]
    for inner in plan.get("inputStages", [plan["inputStage"]] if "inputStage" in plan else []):
        yield from stages(inner)


def explain(tickets, where, sort, after=None):
    """Return how MongoDB finds a page: (the stages of its plans, the index keys they look at together)."""
    found, keys = set(), 0
    for scan, order in store.scans(where, sort, after):
        plan = tickets.tickets.collection.find(scan).sort(order).limit(PAGE + 1).explain()
        winning = plan["queryPlanner"]["winningPlan"]
        found |= set(stages(winning.get("queryPlan", winning)))
        keys += plan["executionStats"]["totalKeysExamined"]
    return found, keys


# status, category, words, prices, order: all but several words, and prices sorted by age
BOUNDED = [
    (status, sort, {"q": q, "category": category, **prices})
    for status, sort, q, category, prices in product(
        ("on_sale", "all"),
        store.SORTS,
        (None, "old", "hamlet"),
        (None, "stage"),
        ({}, {"min_price_cents": 1500}, {"min_price_cents": 1500, "max_price_cents": 2500}),
    )
    if not (prices and sort == "newest")
]


def test_every_page_of_every_list_looks_at_few_keys(many):
    costly = []
    for status, sort, filters in BOUNDED:
        where = on_offer(status, NOON, **filters)
        pages = walk(many, where, sort)
        for after in (None, store.position(pages[len(pages) // 2][-1], sort)):
            plan, keys = explain(many, where, sort, after)
            if plan & {"SORT", "COLLSCAN"} or keys > 4 * PAGE:
                costly.append((status, sort, filters, after, plan, keys))

    assert costly == []


def test_a_sellers_own_list_looks_at_few_keys(many):
    for status in store.STATUSES:
        plan, keys = explain(many, store.of_seller("ana", status), "newest")

        assert not plan & {"SORT", "COLLSCAN"} and keys <= 2 * PAGE


def test_several_words_or_prices_by_age_still_use_an_index(many):
    for filters in ({"q": "hamlet row"}, {"min_price_cents": 1500}, {"q": "opera", "max_price_cents": 2000}):
        plan, keys = explain(many, on_offer("on_sale", NOON, **filters), "newest")

        assert "COLLSCAN" not in plan and keys < MANY


def test_several_words_look_at_little_more_than_the_tickets_with_the_rarest_of_them(tickets, listed):
    listed(*({"title": f"Hamlet at the theatre, row {number}"} for number in range(300)), {"title": "Ox, old theatre"})

    for q, found in {"theatre ox": 1, "hamlet ox": 0, "hamlet theatre nowhere": 0}.items():
        where = on_offer("on_sale", NOON, q=q, rarest=tickets.rarest)
        _, keys = explain(tickets, where, "newest")

        assert len(tickets.list(where, "newest", 10, None)) == found
        assert keys < 20


def test_no_more_than_six_words_are_searched_for(tickets, listed):
    listed({"title": "one two three four five sixth seventh"})

    found = tickets.list(on_offer("on_sale", NOON, q="one two three four five sixth nowhere"), "newest", 10, None)

    assert found == []
    assert len(on_offer("on_sale", NOON, q=" ".join(f"word{n}" for n in range(50)))["$and"]) == 5


@pytest.mark.parametrize("sort", store.SORTS)
@pytest.mark.parametrize("filters", [{}, {"q": "opera"}, {"category": "match"}, {"max_price_cents": 2000}])
def test_pages_hold_everything_once_and_in_order(many, sort, filters):
    where = on_offer("all", NOON, **filters)

    found = [ticket for page in walk(many, where, sort) for ticket in page]

    assert len(found) == len({ticket.id for ticket in found}) == many.tickets.collection.count_documents(where)
    keys = [tuple(store.position(ticket, sort).values()) for ticket in found]
    assert keys == sorted(keys, reverse=sort != "price_asc")


def test_what_is_listed_between_two_pages_neither_repeats_nor_hides_a_ticket(tickets, listed):
    listed(*({"title": f"Seat {number}"} for number in range(6)))
    first = tickets.list(on_offer("on_sale", NOON), "newest", 3, None)

    listed({"title": "Just listed"})
    second = tickets.list(on_offer("on_sale", NOON), "newest", 3, store.position(first[-1], "newest"))

    assert [ticket.title for ticket in first + second] == [f"Seat {number}" for number in (5, 4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("ham", True),
        ("HAM", True),
        ("hamlet", True),
        ("hamlets", False),
        ("amlet", False),
        ("row ham", True),
        ("old ham", True),
        ("old hat", False),
        ("hauptstraß", True),
        ("HAUPTSTRASSE", True),
        ("incomprehensibil", True),
        ("incomprehensible", False),
        ("...", True),
        ("^.*$ ham", True),
    ],
)
def test_each_word_must_begin_a_word_of_title_or_venue(tickets, listed, q, found):
    listed({"title": "Hamlet, row 3: incomprehensibilities", "venue": "Old Theatre, Hauptstraße"})

    assert bool(titles(tickets, q=q)) == found


def test_what_has_started_is_not_on_sale(tickets, listed):
    listed({"starts_at": NOON}, {"title": "Later", "starts_at": NOON + timedelta(milliseconds=1)}, {"title": "Ever"})

    assert titles(tickets) == ["Ever", "Later"]


def test_what_has_started_costs_the_list_nothing_once_it_is_shelved(tickets, listed):
    soon = {"starts_at": NOON + timedelta(minutes=1)}
    listed({"title": "Still on sale"}, *([soon] * 200))

    assert tickets.shelve_started(NOON + timedelta(minutes=1)) == 200

    assert explain(tickets, on_offer("on_sale", NOON), "newest")[1] < 5
    assert len(tickets.list(store.of_seller("ana", "on_sale"), "newest", 500, None)) == 201


def test_a_ticket_that_its_seller_puts_off_is_on_sale_again(tickets):
    ticket = a_ticket(starts_at=NOON)
    tickets.add(ticket, TicketCreated)

    ticket.edit("ana", NOON, title="Put off", price_cents=1000, starts_at=NOON + timedelta(days=1))
    tickets.save(ticket, TicketUpdated)

    assert titles(tickets) == ["Put off"]


@pytest.mark.parametrize("status", ["on_sale", "reserved", "sold"])
def test_a_list_shows_only_tickets_of_its_status(many, status):
    assert {ticket.status for ticket in many.list(on_offer(status, NOON), "newest", 100, None)} == {status}


def test_a_seller_is_owed_what_the_buyers_paid_but_for_what_they_have_back(tickets):
    orders = [
        an_order("complete", price_cents=1999),  # reserved before the price was changed to 1000
        an_order("complete"),
        an_order("complete", price_cents=50000, refunded_at=NOON, refunded_cents=50000),
        an_order("complete", price_cents=3000, refunded_cents=500),
        an_order("awaiting_payment"),
        an_order("cancelled"),
    ]
    for order in orders:
        ticket = a_ticket()
        ticket.follow(order, NOON)
        tickets.add(ticket, TicketCreated)

    assert tickets.sales("ana") == [{"currency": "usd", "tickets": 4, "owed_cents": 5499}]
    assert tickets.sales("bo") == []
