"""The tickets of one event stand together, and lists show the event once, at the same cost however many tickets."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts.errors import NotOwner
from tickets import grouping, store
from tickets.event_identity import event_id
from tickets.lists import SORTS, event_list, public_list
from tickets.tests.test_store import Cost, a_ticket, an_order, filled, stored

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EVENING = NOON + timedelta(hours=8)
EVENTS, TICKETS, PAGE = 40, 400, 7


def hamlet(**details):
    return a_ticket(**{"title": "Hamlet", "venue": "Globe", "starts_at": EVENING, **details})


@pytest.mark.parametrize(
    "other",
    [
        {"title": "  HÁMLET! "},
        {"venue": "GLOBE", "city": "London"},
        {"starts_at": "2026-11-22T21:00:00+01:00"},
        {"starts_at": EVENING, "time_zone": "Europe/London"},
        {"price_cents": 5000, "category": "other", "seat": {"row": "3"}},
    ],
)
def test_same_title_venue_and_start_are_the_same_event_however_they_are_written(other):
    assert hamlet(**other).event_id == hamlet().event_id


@pytest.mark.parametrize(
    "other",
    [
        {"title": "Hamlet II"},
        {"venue": "Old Vic"},
        {"venue": None},
        {"starts_at": None},
        {"starts_at": NOON + timedelta(1)},
    ],
)
def test_another_title_venue_or_start_is_another_event(other):
    assert hamlet(**other).event_id != hamlet().event_id


@pytest.mark.parametrize(
    ("title", "readable"),
    [
        ("Hamlet, Prince of Denmark", "hamlet-prince-of-denmark-"),
        ("Señor O'Brien & Søn", "senor-obrien-son-"),
        ("新歌舞伎座", ""),
        ("???", ""),
        ("x" * 200, ""),
        ("word " * 40, "-".join(["word"] * 12) + "-"),
    ],
)
def test_an_events_id_is_readable_as_far_as_an_address_can_be(title, readable):
    found = event_id(title, None, None)

    assert found[:-16] == readable
    assert all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in found)


def test_an_edited_ticket_moves_to_the_event_that_it_is_for_now():
    ticket, before = hamlet(), hamlet().event_id

    ticket.edit("ana", NOON, title="Macbeth", venue="Globe", price_cents=1000, starts_at=EVENING)
    moved = ticket.event_id
    with pytest.raises(NotOwner):
        ticket.edit("bo", NOON, title="Hamlet", venue="Globe", price_cents=1000, starts_at=EVENING)

    assert before != moved == ticket.event_id == event_id("Macbeth", "Globe", EVENING)


def some_tickets(count, events):
    chance = random.Random(5)
    for number in range(count):
        event = chance.randrange(events)
        category = ("stage", "match")[event % 2]
        fields = {"title": f"Hamlet number {event}", "category": category, "price_cents": chance.randrange(9, 40) * 100}
        ticket = a_ticket(number, **fields, city=chance.choice((None, "London")))
        if chance.random() < 0.3:
            ticket.apply_order(an_order(chance.choice(("created", "complete"))), NOON)
        yield stored(ticket)


@pytest.fixture(scope="module")
def many(servers):
    yield from filled(servers, [*some_tickets(TICKETS, EVENTS)])


def walk(tickets, query, limit=PAGE):
    """Return what all pages of a list by event have, each ticket with what is said of its event."""
    found, after = [], None
    while after or not found:
        page, after = tickets.list_events(query, limit, after)
        assert len(page) == limit or not after or query.remainder
        found += page
        if not after:
            break
    return found


def expected(tickets, query):
    """Return the same from the list of all tickets."""
    events = {}
    for ticket in tickets.list(query, TICKETS, None)[0]:
        events.setdefault(ticket.event_id, []).append(ticket)
    return [
        (
            first.id,
            {
                "tickets": 1 + len(rest),
                "price_cents": min((each.status != "on_sale", each.price_cents) for each in (first, *rest))[1],
                "currency": "usd",
            },
        )
        for first, *rest in events.values()
    ]


@pytest.mark.parametrize("status", ["on_sale", "reserved", "unsold", "all"])
@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize(
    "filters",
    [
        {}, {"category": "match"}, {"q": "hamlet"}, {"q": "london"}, {"q": "hamlet number 7"},
        {"min_price_cents": 1500, "max_price_cents": 2500}, {"q": "london number", "max_price_cents": 2000},
    ],
)  # fmt: skip
def test_pages_show_every_event_once_by_its_first_ticket_and_say_what_the_list_has_of_it(
    many, status, sort, filters, monkeypatch
):
    query = public_list(status, sort, **filters)
    wanted = expected(many, query)
    assert wanted != []
    for examined in (store.EXAMINED, (7, 20)):
        monkeypatch.setattr(store, "EXAMINED", examined)

        assert [(ticket.id, event) for ticket, event in walk(many, query)] == wanted


def test_an_event_with_more_tickets_than_pages_is_shown_once(servers):
    crowd = [stored(hamlet(price_cents=1000 + number % 90)) for number in range(600)]
    rest = [stored(a_ticket(number)) for number in range(30)]
    for tickets in filled(servers, [*rest[:15], *crowd, *rest[15:]]):
        for sort in SORTS:
            shown = walk(tickets, public_list("on_sale", sort), 10)
            assert sorted(event["tickets"] for _, event in shown) == [1] * 30 + [600]


@pytest.fixture(scope="module")
def interleaved(servers):
    """Forty plays, the forty tickets of each spread over the whole list, and an older ticket."""
    oldest = stored(hamlet(title="Oldest"))
    plays = [stored(hamlet(title=f"Play {number}")) for _ in range(40) for number in range(40)]
    yield from filled(servers, [oldest, *plays])


def test_a_page_asks_no_oftener_when_many_events_before_it_have_tickets_after_it(interleaved):
    query = public_list("on_sale", "newest")
    _, after = interleaved.list_events(query, 40, None)

    with Cost(interleaved) as cost:
        page, end = interleaved.list_events(query, 1, after)

    assert [ticket.title for ticket, _ in page] == ["Oldest"] and end is None
    assert len(cost.profile) <= 16


def test_a_page_that_has_asked_often_enough_is_short_and_the_next_one_goes_on(interleaved, monkeypatch):
    monkeypatch.setattr(grouping, "MOST_QUERIES", 2)
    query, after, shown, sizes = public_list("on_sale", "newest"), None, [], []
    while after or not sizes:
        page, after = interleaved.list_events(query, 20, after)
        shown += [ticket.title for ticket, _ in page]
        sizes.append(len(page))

    assert sorted(shown) == sorted([*(f"Play {number}" for number in range(40)), "Oldest"])
    assert 0 in sizes[:-1]


def test_what_is_bought_between_two_pages_repeats_no_event(servers):
    documents = [stored(hamlet(title=f"Play {number // 2}")) for number in range(12)]
    for tickets in filled(servers, documents):
        query = public_list("on_sale", "newest")
        first, after = tickets.list_events(query, 3, None)
        tickets.tickets.collection.update_one({"_id": documents[0]["_id"]}, {"$set": {"shelf": "sold"}})
        second, end = tickets.list_events(query, 3, after)

        shown = [(ticket.title, event["tickets"]) for ticket, event in first + second]
        assert shown == [("Play 5", 2), ("Play 4", 2), ("Play 3", 2), ("Play 2", 2), ("Play 1", 2), ("Play 0", 1)]
        assert end is None


def test_a_list_by_event_looks_at_little_more_than_it_shows(many):
    for sort in SORTS:
        with Cost(many) as cost:
            page, _ = many.list_events(public_list("on_sale", sort), PAGE, None)
        tickets = sum(event["tickets"] for _, event in page)
        assert not cost.is_sorted
        assert cost.keys <= 3 * (tickets + PAGE + 5), cost.profile


def test_an_events_tickets_are_found_and_counted_by_an_index(many):
    ident = event_id("Hamlet number 7", None, None)

    with Cost(many) as cost:
        counts = many.count_event(ident)
        found, _ = many.list(event_list(ident), 100, None)

    assert counts["on_sale"] == len(found) == cost.tickets > 3
    assert [ticket.price_cents for ticket in found] == sorted(ticket.price_cents for ticket in found)
    assert not cost.is_sorted and cost.keys <= 2 * sum(counts.values()) + 10


def test_tickets_that_an_earlier_version_listed_are_shown_one_by_one_until_the_migration_finds_their_events(servers):
    documents = [stored(hamlet()) for _ in range(3)]
    for each in documents[1:]:
        for name in ("event_id", "seat", "city", "time_zone"):
            del each[name]
    for tickets in filled(servers, documents):
        shown, _ = tickets.list_events(public_list("on_sale", "newest"), 10, None)
        renewed = store.renew_words(tickets.tickets.collection.database)
        (together,), _ = tickets.list_events(public_list("on_sale", "newest"), 10, None)

        assert [event["tickets"] for _, event in shown] == [1, 1, 1]
        assert (renewed, together[1]["tickets"]) == (2, 3)


def test_pages_of_the_site_map_have_every_event_on_sale_once(many, monkeypatch):
    monkeypatch.setattr(store, "SITE_MAP_PAGE", 50)
    with Cost(many) as cost:
        pages = [None, *many.site_map_event_pages()]
        listed = [ident for after in pages for ident in many.site_map_events(after)]

    on_sale = many.tickets.collection.distinct("event_id", {"shelf": "on_sale"})
    assert len(pages) > 3 and listed == sorted(on_sale)
    assert cost.tickets == 0 and not cost.is_sorted


def test_what_a_seller_has_sold_is_counted_without_reading_what_else_they_have_listed(many):
    sold = many.tickets.collection.count_documents({"seller_id": "ana", "shelf": "sold"})
    with Cost(many) as cost:
        assert many.count_sold(["ana", "bo"]) == [{"id": "ana", "sold": sold}]

    assert cost.tickets == 0
    assert cost.keys <= sold + 5


def test_who_has_listed_a_ticket_and_sold_none_is_a_seller_too(servers):
    for tickets in filled(servers, [stored(hamlet())]):
        assert tickets.count_sold(["ana", "bo"]) == [{"id": "ana", "sold": 0}]


@pytest.mark.parametrize(("status", "price_cents"), [("unsold", 2000), ("reserved", 1000)])
def test_an_event_is_listed_with_the_price_that_one_can_buy_it_for(servers, status, price_cents):
    reserved, dearer = hamlet(price_cents=1000), hamlet(price_cents=1500)
    for each in (reserved, dearer):
        each.apply_order(an_order("created"), NOON)
    on_sale = [hamlet(price_cents=price) for price in (3000, 2000)]
    for tickets in filled(servers, [stored(each) for each in (reserved, dearer, *on_sale)]):
        ((_, event),), _ = tickets.list_events(public_list(status, "price_asc"), 10, None)

        assert event["price_cents"] == price_cents


def test_what_starts_soonest_is_shown_once_for_each_event(servers):
    documents = [
        stored(hamlet(title=f"Play {number % 3}", starts_at=EVENING + timedelta(hours=number % 3)))
        for number in range(9)
    ]
    for tickets in filled(servers, documents):
        found = tickets.list_soonest(NOON, 2)
        assert [(ticket.title, event["tickets"]) for ticket, event in found] == [("Play 0", 3), ("Play 1", 3)]
