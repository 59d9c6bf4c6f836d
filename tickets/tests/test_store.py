"""The lists: right, and of the same cost whatever the number of tickets."""

import random
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pymongo import MongoClient

from dev.testing import commands_on
from libs.clock import utc_now
from libs.contracts.errors import TicketNotFound
from libs.contracts.events import TicketCreated, TicketReservationChanged, TicketUpdated
from libs.contracts.limits import CATEGORIES
from libs.events import VersionConflict
from libs.schema import migrate
from tickets import domain, lists, store
from tickets.lists import SORTS, public_list
from tickets.service import TicketsService
from tickets.store import COUNT_LIMIT, READ, TicketStore

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FEW, SOME, MANY, CROWD, PAGE = 40, 200, 1500, 4000, 20
WORDS = ("Hamlet", "row", "Opera", "Derby", "North", "stand", "Festival", "pass", "gala", "Night")


def a_ticket(number=0, now=NOON, **details):
    fields = {"title": f"Seat {number}", "price_cents": 1000, "category": "stage", **details}
    return domain.Ticket.create(store.new_id(), "ana", "usd", now, **fields)


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


def place(ticket):
    starts = lists.start_number(ticket.starts_at)
    return {"_id": ticket.id, "price_cents": ticket.price_cents, "starts": starts}


def in_order(found, sort):
    keys = [tuple(place(ticket)[name] for name, _ in SORTS[sort]) for ticket in found]
    return keys == sorted(keys, reverse=sort in ("newest", "price_desc"))


def matching(tickets, query):
    """Return how many tickets match, counted without any of our indexes."""
    return tickets.tickets.collection.count_documents({"$and": [query.lookup, query.remainder]})


@pytest.fixture
def mongo(emptied):
    return emptied


@pytest.fixture
def tickets(mongo):
    migrate(mongo, TicketStore.schema)
    return TicketStore(mongo)


@pytest.fixture
def listed(tickets):
    """Return what puts tickets on sale."""

    def listed(*details):
        for fields in details:
            tickets.add(a_ticket(**fields), TicketCreated)

    return listed


def test_reading_tickets_reads_nothing_that_is_stored_for_searches_alone(tickets, mongo):
    ticket = a_ticket(title="Hamlet, row 3", venue="Globe")
    tickets.add(ticket, TicketCreated, "key")
    query = public_list("on_sale", "newest")

    with commands_on(mongo) as commands:
        assert tickets.get(ticket.id) == ticket == tickets.get_all([ticket.id])[0]
        assert tickets.list(query, 10, None) == ([ticket], None)
        assert tickets.find_by_key("ana", "key")[0] == ticket

    assert [set(read["command"]["projection"]) - {"_id", "listed_as"} for read in commands] == [set(READ) - {"_id"}] * 4
    assert not {"words", "prefixes", "shelf", "outbox"} & set(READ)


@pytest.fixture(scope="module")
def many(servers):
    """Tickets of every kind, in few prices, so that many are alike."""
    yield from filled(servers, tickets_of_every_kind(MANY))


@pytest.fixture(scope="module")
def some(servers):
    """Fewer of them."""
    yield from filled(servers, tickets_of_every_kind(SOME))


@pytest.fixture(scope="module")
def few(servers):
    """Still fewer, of which many have the same words."""
    yield from filled(servers, tickets_of_every_kind(FEW, WORDS[:3]))


@pytest.fixture(scope="module")
def crowd(servers):
    yield from crowd_of(servers, CROWD)


def crowd_of(servers, size):
    """Yield a store of tickets, mostly alike, of which few are dear, have two of the common words, or a long one."""
    rare: dict[int, Any] = {
        7: {"title": "Hamlet theatre"},
        1800: {"title": "Incomprehensible"},
        3000: {"price_cents": 9500},
    }
    common = [document(title=title) for title in ("Hamlet", "Theatre", "Incomprehensibilities")]
    several = [{**common[number % 3], "_id": store.new_id()} for number in range(size)]
    for number, details in rare.items():
        several[number] |= document(**{"title": several[number]["title"], **details}) | {"_id": several[number]["_id"]}
    yield from filled(servers, several)


def document(**details):
    return stored(a_ticket(**details))


def stored(ticket):
    """Return the document of a ticket."""
    fields = store.to_document(ticket)
    return {"_id": fields.pop("id"), **fields}


def filled(servers, documents):
    """Yield a store that holds these tickets."""
    name = f"test_{secrets.token_hex(6)}"
    with MongoClient(servers.mongo_url(name), tz_aware=True) as client:
        database = client.get_default_database()
        migrate(database, TicketStore.schema)
        store_of_test = TicketStore(database)
        store_of_test.tickets.collection.insert_many(documents)
        yield store_of_test
        client.drop_database(name)


def tickets_of_every_kind(count, words=WORDS):
    chance = random.Random(7)
    return [stored(some_ticket(chance, number, words)) for number in range(count)]


def some_ticket(chance, number, words):
    title = f"{chance.choice(words)} {chance.choice(words)} {number}"
    details = {"category": chance.choice(CATEGORIES), "price_cents": chance.choice((1000, 2000, 3000))}
    if chance.random() < 0.7:
        details["starts_at"] = NOON + timedelta(days=chance.randrange(1, 30))
    ticket = a_ticket(title=title, venue="Old Theatre", **details)
    status = chance.choice(("on_sale", "on_sale", "created", "complete", "cancelled"))
    if status != "on_sale":
        ticket.apply_order(an_order(status), NOON)
    return replace(ticket, withdrawn=chance.random() < 0.1)


def titles(tickets, status="on_sale", sort="newest", limit=50, **filters):
    found = tickets.list(public_list(status, sort, **filters), limit, None)[0]
    return [ticket.title for ticket in found if not ticket.has_started(NOON)]


def walk(tickets, query, limit=PAGE):
    """Return all pages of a list."""
    page, after = tickets.list(query, limit, None)
    pages = [page]
    while after:
        page, after = tickets.list(query, limit, after)
        pages.append(page)
    return pages


class Cost:
    """What MongoDB did for a block: by its own profile, the index keys and tickets that it looked at, and sorts."""

    def __init__(self, tickets):
        self._collection = tickets.tickets.collection
        self._commands = commands_on(self._collection.database)

    def __enter__(self):
        self._noted = self._commands.__enter__()
        return self

    def __exit__(self, *error):
        self._commands.__exit__(*error)
        self.profile = [command for command in self._noted if command["ns"] == self._collection.full_name]
        self.keys = sum(step["keysExamined"] for step in self.profile)
        self.tickets = sum(step["docsExamined"] for step in self.profile)
        self.is_sorted = any(step.get("hasSortStage") or step["planSummary"] == "COLLSCAN" for step in self.profile)


ONE_WORD = (None, "old", "hamlet")
PRICES: tuple[dict[str, int], ...] = ({}, {"min_price_cents": 1500}, {"min_price_cents": 1500, "max_price_cents": 2500})


def questions(*words):
    """Return every kind of question with one of these texts to search for."""
    for status, sort, q, category, prices in product(("on_sale", "all"), SORTS, words, (None, "stage"), PRICES):
        yield status, sort, {"q": q, "category": category, **prices}


def test_every_page_of_a_list_that_an_index_answers_examines_few_keys(many):
    costly = []
    for status, sort, filters in questions(*ONE_WORD):
        query = public_list(status, sort, **filters)
        if query.remainder:
            continue
        _, further = many.list(query, 5 * PAGE, None)
        for after in [None, further] if further else [None]:
            with Cost(many) as cost:
                many.list(query, PAGE, after)
            if cost.is_sorted or cost.keys > 4 * PAGE:
                costly.append((status, sort, filters, after, cost.profile))

    assert costly == []


def test_a_sellers_own_list_examines_few_keys(many):
    for status in lists.STATUSES:
        with Cost(many) as cost:
            many.list(lists.seller_list("ana", status), PAGE, None)

        assert not cost.is_sorted and cost.keys <= 2 * PAGE


RARE = tuple(product(("on_sale", "all"), SORTS, ("theatre hamlet", "incomprehensible", None), (None, "stage")))
"""Questions that few tickets of a crowd answer: status, sort, q and category."""


@pytest.mark.parametrize("question", RARE)
def test_what_is_rare_among_thousands_of_tickets_is_found_at_a_bounded_cost(crowd, monkeypatch, question):
    monkeypatch.setattr(store, "EXAMINED", (CROWD // 100, CROWD // 10 - CROWD // 100))

    assert_found_at_a_bounded_cost(crowd, *question)


def assert_found_at_a_bounded_cost(crowd, status, sort, q, category):
    prices = {} if q else {"min_price_cents": 9000}
    query = public_list(status, sort, q=q, category=category, **prices, rarest_word=crowd.rarest_word)
    after, found, costs = None, [], []

    while after or not costs:
        with Cost(crowd) as cost:
            page, after = crowd.list(
                public_list(status, sort, q, category, **prices, rarest_word=crowd.rarest_word), PAGE, after
            )
        found += page
        costs.append(cost)

    assert len(found) == len({ticket.id for ticket in found}) == matching(crowd, query) > 0
    assert max(cost.tickets for cost in costs) <= 2 * sum(store.EXAMINED) + PAGE
    assert max(cost.keys for cost in costs) <= 4 * sum(store.EXAMINED) + 3 * COUNT_LIMIT
    assert not any(cost.is_sorted for cost in costs)


def test_a_page_of_what_many_tickets_are_examines_few(crowd):
    query = public_list("on_sale", "newest", max_price_cents=9000)
    with Cost(crowd) as cost:
        page, after = crowd.list(query, PAGE, None)

    assert len(page) == PAGE and after
    assert cost.keys < 2 * store.EXAMINED[0] and not cost.is_sorted


def test_a_correction_with_no_rival_is_not_counted(tickets, listed):
    listed({"title": "Hamlet"})
    tickets.tickets.collection.insert_many(document(title=f"Hamlet, row {number}") for number in range(100))
    with Cost(tickets) as cost:
        assert tickets.corrections(public_list("on_sale", "newest", q="hamlte")) == {"hamlte": "hamlet"}

    assert cost.keys < 20


def test_a_search_for_several_words_examines_little_more_than_the_tickets_with_the_rarest(tickets):
    rows = [document(title=f"Hamlet at the theatre, row {number}") for number in range(300)]
    tickets.tickets.collection.insert_many([*rows, document(title="Ox, old theatre")])

    for q, found in {"theatre ox": 1, "hamlet ox": 0, "hamlet theatre nowhere": 0}.items():
        query = public_list("on_sale", "newest", q=q, rarest_word=tickets.rarest_word)
        with Cost(tickets) as cost:
            assert len(tickets.list(query, 10, None)[0]) == found

        assert cost.keys < 20


@pytest.mark.parametrize("examined", [1, 7, 60])
@pytest.mark.parametrize("q", ["hamlet row", "opera", None])
def test_short_pages_lead_to_everything_once_and_in_order(few, some, monkeypatch, examined, q):
    tickets = few if examined == 1 else some
    monkeypatch.setattr(store, "EXAMINED", (examined, 2 * examined))
    for status, sort, filters in questions(q):
        query = public_list(status, sort, **filters)

        found = [ticket for page in walk(tickets, query) for ticket in page]

        assert len(found) == len({ticket.id for ticket in found}) == matching(tickets, query)
        assert in_order(found, sort)


def test_a_page_may_be_empty_before_the_last(tickets, listed, monkeypatch):
    monkeypatch.setattr(store, "EXAMINED", (2, 3))
    listed({"title": "The rare old one"}, *({"title": f"old {number}"} for number in range(5)))
    query = public_list("on_sale", "newest", q="old one")

    first, after = tickets.list(query, 10, None)
    second, end = tickets.list(query, 10, after)

    assert (first, [ticket.title for ticket in second], end) == ([], ["The rare old one"], None)


def test_no_more_than_six_words_are_searched_for(tickets, listed):
    listed({"title": "one two three four five sixth seventh"})

    assert titles(tickets, q="one two three four five sixth nowhere") == []
    assert len(public_list("on_sale", "newest", q=" ".join(f"word{n}" for n in range(50))).remainder["$and"]) == 5


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("filters", [{}, {"q": "opera"}, {"category": "match"}, {"max_price_cents": 2000}])
def test_pages_hold_everything_once_and_in_order(many, sort, filters):
    query = public_list("all", sort, **filters)

    found = [ticket for page in walk(many, query) for ticket in page]

    assert len(found) == len({ticket.id for ticket in found}) == matching(many, query)
    assert in_order(found, sort)


def test_what_is_listed_between_two_pages_neither_repeats_nor_hides_a_ticket(tickets, listed):
    listed(*({"title": f"Seat {number}"} for number in range(6)))
    first, after = tickets.list(public_list("on_sale", "newest"), 3, None)

    listed({"title": "Just listed"})
    second, _ = tickets.list(public_list("on_sale", "newest"), 3, after)

    assert [ticket.title for ticket in first + second] == [f"Seat {number}" for number in (5, 4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("globe", ["Hamlet"]),
        ("Globe London", ["Hamlet"]),
        ("hamlet", []),
        ("lond", ["Opera gala", "Hamlet"]),
        ("...", []),
        (" ", ["Globe quiz", "Opera gala", "Hamlet"]),
    ],
)
def test_each_word_of_the_place_must_begin_a_word_of_the_venue(tickets, listed, place, found):
    venues = {"Hamlet": "Globe, London", "Opera gala": "Royal Opera, London", "Globe quiz": None}
    listed(*({"title": title, "venue": venue} for title, venue in venues.items()))

    assert titles(tickets, place=place) == found
    assert titles(tickets, q="opera", place=place) == [title for title in found if title == "Opera gala"]


@pytest.mark.parametrize("sort", SORTS)
def test_dates_leave_what_starts_between_them(tickets, listed, sort):
    days = {f"Day {day}": NOON + timedelta(days=day) for day in (1, 2, 3)}
    listed(*({"title": title, "starts_at": starts_at} for title, starts_at in days.items()), {"title": "Any day"})

    between = {"starts_from": days["Day 1"], "starts_before": days["Day 3"]}
    assert sorted(titles(tickets, sort=sort, **between)) == ["Day 1", "Day 2"]
    assert sorted(titles(tickets, sort=sort, starts_from=days["Day 2"])) == ["Day 2", "Day 3"]
    assert sorted(titles(tickets, sort=sort, starts_before=days["Day 2"])) == ["Day 1"]


@pytest.mark.parametrize("sort", SORTS)
def test_a_ticket_is_found_by_the_day_that_it_shows(tickets, listed, sort):
    listed(
        {
            "title": "1 Dec in New York",
            "starts_at": datetime(2026, 12, 2, 1, tzinfo=UTC),
            "time_zone": "America/New_York",
        },
        {"title": "2 Dec in Tokyo", "starts_at": datetime(2026, 12, 1, 22, tzinfo=UTC), "time_zone": "Asia/Tokyo"},
        {"title": "1 Dec at the site", "starts_at": datetime(2026, 12, 1, 22, 59, tzinfo=UTC)},
        {"title": "2 Dec at the site", "starts_at": datetime(2026, 12, 1, 23, tzinfo=UTC)},
        {"title": "Any day"},
    )
    days = [datetime(2026, 12, day, tzinfo=ZoneInfo("Europe/Berlin")) for day in (1, 2, 3)]

    first = titles(tickets, sort=sort, starts_from=days[0], starts_before=days[1])
    assert sorted(first) == ["1 Dec at the site", "1 Dec in New York"]
    second = titles(tickets, sort=sort, starts_from=days[1], starts_before=days[2])
    assert sorted(second) == ["2 Dec at the site", "2 Dec in Tokyo"]
    assert titles(tickets, sort=sort, starts_from=days[2]) == []


def test_tickets_of_an_earlier_version_are_found_by_the_sites_day_until_the_migration(tickets, listed):
    starts_at = datetime(2026, 12, 2, 1, tzinfo=UTC)
    listed({"title": "1 Dec in New York", "starts_at": starts_at, "time_zone": "America/New_York"})
    tickets.tickets.collection.update_one({}, {"$unset": {"local_starts": ""}})
    first, second = ({"starts_from": datetime(2026, 12, day, tzinfo=UTC)} for day in (1, 2))
    first["starts_before"] = second["starts_from"]

    assert (titles(tickets, **first), titles(tickets, **second)) == ([], ["1 Dec in New York"])
    store.renew_words(tickets.tickets.collection.database)
    assert (titles(tickets, **first), titles(tickets, **second)) == (["1 Dec in New York"], [])


def test_soonest_come_first_and_what_has_no_date_last(tickets, listed):
    days = {"Third": 3, "First": 1, "Second": 2}
    listed({"title": "Any day"}, *({"title": name, "starts_at": NOON + timedelta(n)} for name, n in days.items()))

    assert titles(tickets, sort="soonest") == ["First", "Second", "Third", "Any day"]


def test_reserved_tickets_are_listed_with_those_on_sale_on_request(tickets, listed):
    reserved, sold = a_ticket(title="Reserved"), a_ticket(title="Sold")
    reserved.apply_order(an_order("created"), NOON)
    sold.apply_order(an_order("complete"), NOON)
    listed({"title": "On sale"})
    for ticket in (reserved, sold):
        tickets.add(ticket, TicketCreated)

    assert titles(tickets, "unsold") == ["On sale", "Reserved"]


@pytest.mark.parametrize("filters", [{}, {"q": "opera"}, {"q": "opera night"}, {"min_price_cents": 2500}])
def test_tickets_of_a_list_are_counted_up_to_a_limit_at_a_bounded_cost(many, some, filters, monkeypatch):
    for tickets in (many, some):
        query = public_list("on_sale", "newest", **filters)
        matches = matching(tickets, query)
        with Cost(tickets) as cost:
            found = tickets.count(query)

        assert found == {"tickets": min(matches, COUNT_LIMIT), "is_all": matches <= COUNT_LIMIT}
        assert not cost.is_sorted and cost.tickets <= store.MOST_COUNTED
    monkeypatch.setattr(store, "MOST_COUNTED", 10)
    few = some.count(public_list("on_sale", "newest", min_price_cents=2500))
    assert few["tickets"] <= 10 and not few["is_all"]


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
        ("...", False),
        ("\u200b", False),
        (" ", True),
        ("^.*$ ham", True),
        ("hauptstrasse opera", True),
        ("l'ope\u0301ra", True),
        ("歌舞伎", True),
        ("歌舞伎町", False),
    ],
)
def test_each_word_must_begin_a_word_of_title_or_venue(tickets, listed, q, found):
    listed({"title": "Hamlet, row 3: incomprehensibilities", "venue": "L’Opéra, Old Theatre, Hauptstraße, 新歌舞伎座"})

    assert bool(titles(tickets, q=q)) == found


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("hamlet", []),
        ("hamlte", [["hamlte", "hamlet"]]),
        ("hanlet", [["hanlet", "hamlet"]]),
        ("Hamet", [["hamet", "hamlet"]]),
        ("amlet", [["amlet", "hamlet"]]),
        ("hammlet", [["hammlet", "hamlet"]]),
        ("opra hamelt", [["hamelt", "hamlet"], ["opra", "opera"]]),
        ("dvorac", [["dvorac", "dvorak"]]),
        ("hmle", None),
        ("hamlet macbeth", None),
        ("opra hamelt dvrak", None),
        ("2o26", None),
        ("rov", None),
    ],
)
def test_a_letter_that_is_wrong_missing_or_too_many_is_forgiven(tickets, listed, q, found):
    service = TicketsService()
    service.store = tickets
    listed({"title": "Hamlet, row 2026", "venue": "Opera"}, {"title": "Dvořák"}, {"title": "Dvorana"})

    page = service.list(q=q, count=True)

    assert sorted(map(list, page["corrections"].items())) == (found or [])
    assert page["count"] == {"tickets": len(page["tickets"]), "is_all": True}
    assert bool(page["tickets"]) == (found is not None)


def test_a_word_is_corrected_to_that_which_most_tickets_have_in_the_list(tickets, listed):
    service = TicketsService()
    service.store = tickets
    concerts = {"title": "Hamelt", "category": "concert"}
    listed({"title": "Hamlet 1"}, {"title": "Hamlet 2"}, {"title": "Hamlot"}, concerts)

    assert service.list(q="hamlat")["corrections"] == {"hamlat": "hamlet"}
    assert service.list(q="hamlet", category="concert")["corrections"] == {"hamlet": "hamelt"}
    assert service.list(q="hamlat", category="match") == {"tickets": [], "next": None, "corrections": {}}


def test_a_mistyped_word_costs_as_much_among_many_as_among_few(tickets, mongo):
    costs = []
    for count in (200, 4_000):
        alphabet, chance = "abcdefghijklmnoprstuv", random.Random(count)
        words = {"".join(chance.choices(alphabet, k=chance.randrange(5, 12))) for _ in range(count)}
        tickets.spelling.learn(words)
        with commands_on(mongo) as noted:
            tickets.spelling.near("hamlet")
        costs.append(sum(step["docsExamined"] for step in noted if step["op"] == "query"))

    assert max(costs) <= 10


def test_a_seller_who_edits_a_ticket_all_day_does_not_fill_the_disk_with_words(tickets, mongo, monkeypatch, caplog):
    monkeypatch.setattr("tickets.spelling.MOST_STORED", 3)

    for words in (["hamlet", "opera"], ["othello", "macbeth"], ["tempest"], ["coriolanus"]):
        tickets.spelling.learn(words)

    assert mongo.words.count_documents({}) == 4 and len(caplog.records) == 1
    assert tickets.spelling.near("hamlat") == ["hamlet"]


def test_tickets_that_an_earlier_version_stored_are_found_by_todays_rules(tickets, listed, mongo):
    listed({"title": "Dvořák", "venue": "東京ドーム"}, {"title": "Hamlet"})
    mongo.tickets.update_one({"title": "Dvořák"}, {"$set": {"words": ["dvořák"], "prefixes": ["d"]}})

    mongo.tickets.update_one({"title": "Hamlet"}, {"$unset": {"places": "", "starts": ""}})
    mongo.drop_collection("words")

    assert [store.renew_words(mongo), store.renew_words(mongo)] == [2, 0]
    assert (mongo.words.count_documents({}), titles(tickets, sort="soonest")) == (2, ["Dvořák", "Hamlet"])
    assert titles(tickets, q="dvorak ドーム") == ["Dvořák"]


def test_what_has_started_is_not_on_sale_and_costs_the_list_no_more(tickets, listed):
    service = TicketsService()
    service.store = tickets
    now, second, hour = utc_now(), timedelta(seconds=1), timedelta(hours=1)
    past = [{"title": "Past", "starts_at": now - second, "now": now - hour}] * 100
    listed({"title": "Later", "starts_at": now + hour}, *past, {"title": "Ever"})

    with Cost(tickets) as cost:
        first = service.list(limit=10)
    rest = service.list(limit=100, after=first["next"])

    shown = [ticket["title"] for ticket in first["tickets"] + rest["tickets"]]
    assert (shown, cost.keys, rest["next"]) == (["Ever", "Later"], 11, None)


def test_what_has_started_is_among_all_tickets_at_once(tickets, listed):
    service = TicketsService()
    service.store = tickets
    now = utc_now()
    listed({"title": "Past", "starts_at": now - timedelta(seconds=1), "now": now - timedelta(hours=1)})

    assert [ticket["title"] for ticket in service.list(status="all")["tickets"]] == ["Past"]
    assert service.list(status="unsold")["tickets"] == []


def test_what_has_started_costs_the_list_nothing_once_it_was_taken_off_sale(tickets, listed):
    soon = {"starts_at": NOON + timedelta(minutes=1)}
    listed({"title": "Still on sale"}, *([soon] * 200))

    assert tickets.take_started_off_sale(NOON + timedelta(minutes=1)) == 200

    with Cost(tickets) as cost:
        assert titles(tickets) == ["Still on sale"]
    assert cost.keys < 5
    mine = {status: len(tickets.list(lists.seller_list("ana", status), 500, None)[0]) for status in lists.STATUSES}
    assert (mine["on_sale"], mine["started"], mine["all"]) == (1, 200, 201)


def test_a_reservation_is_announced_by_an_event_that_orders_does_not_hear(tickets, mongo):
    ticket = a_ticket(title="Hamlet, row 3")
    tickets.add(ticket, TicketCreated)
    assert ticket.apply_order(an_order("created"), NOON)

    tickets.save_reservation(ticket)

    stored = mongo.tickets.find_one({"_id": ticket.id})
    assert [event["name"] for event in stored["outbox"]] == ["TicketCreated", "TicketReservationChanged"]
    assert TicketReservationChanged.load(stored["outbox"][-1]["body"])["version"] == 2
    assert (tickets.get(ticket.id), stored["shelf"]) == (ticket, "reserved")
    assert tickets.revisions(None, 10) == [[ticket.id, 1]]


def test_a_reservation_costs_tickets_two_commands_and_changes_nothing_that_searches_read(tickets, mongo):
    service, ticket = TicketsService(), a_ticket()
    service.store = tickets
    tickets.add(ticket, TicketCreated)
    mongo.tickets.update_one({}, {"$set": {"outbox": []}, "$unset": {"outbox_at": ""}})  # it was published

    with commands_on(mongo) as commands:
        service.on_order({**an_order("created"), "ticket": {"id": ticket.id}})

    assert [each["op"] for each in commands] == ["query", "update"]
    assert not {"words", "prefixes", "title"} & set(commands[-1]["command"]["u"]["$set"])


@pytest.fixture
def service(tickets):
    service = TicketsService()
    service.store = tickets
    return service


def orders_on(*tickets, status="created", **fields):
    return [{**an_order(status), "ticket": {"id": ticket.id}, **fields} for ticket in tickets]


def test_many_reservations_cost_tickets_two_commands_and_the_newest_of_each_ticket_stands(service, tickets, mongo):
    several = [a_ticket(number) for number in range(20)]
    for ticket in several:
        tickets.add(ticket, TicketCreated)
    mongo.tickets.update_many({}, {"$set": {"outbox": []}, "$unset": {"outbox_at": ""}})  # published by now
    created, cancelled = orders_on(*several), orders_on(several[3], status="cancelled", version=2)

    with commands_on(mongo) as commands:
        service.on_orders([*cancelled, *created])

    assert {each["op"] for each in commands} == {"query", "update"}
    assert sum(each["op"] == "query" for each in commands) == 1
    statuses = {ticket.id: ticket.status for ticket in tickets.get_all([ticket.id for ticket in several])}
    assert [statuses[ticket.id] for ticket in several] == ["reserved"] * 3 + ["on_sale"] + ["reserved"] * 16
    service.on_orders(created)
    assert tickets.get(several[3].id).status == "on_sale"


def test_a_ticket_that_is_unknown_or_changes_meanwhile_holds_up_no_reservation_of_another(
    service, tickets, monkeypatch
):
    edited, other, unknown = a_ticket(1), a_ticket(2), a_ticket(3)
    for ticket in (edited, other):
        tickets.add(ticket, TicketCreated)
    found = tickets.get_all([edited.id, other.id])
    edited.edit("ana", NOON, title="Edited", price_cents=1000)
    tickets.save(edited, TicketUpdated)

    with monkeypatch.context() as patch:
        patch.setattr(tickets, "get_all", lambda ids: found)
        with pytest.raises(VersionConflict):
            service.on_orders(orders_on(edited, other))
    assert [tickets.get(ticket.id).status for ticket in (edited, other)] == ["on_sale", "reserved"]

    with pytest.raises(TicketNotFound):
        service.on_orders(orders_on(unknown, edited))
    assert tickets.get(edited.id).status == "reserved"


def test_what_a_program_that_knows_of_no_revision_changed_counts_as_changed_by_the_seller(tickets, mongo):
    ticket = a_ticket()
    tickets.add(ticket, TicketCreated)
    mongo.tickets.update_one({}, {"$set": {"title": "Edited"}, "$inc": {"version": 1}})
    assert (tickets.get(ticket.id).revision, tickets.revisions(None, 10)) == (2, [[ticket.id, 2]])

    mongo.tickets.update_one({}, {"$unset": {"revision": "", "revision_of": ""}})
    assert (tickets.get(ticket.id).revision, tickets.revisions(None, 10)) == (2, [[ticket.id, 2]])


def test_a_ticket_whose_start_is_postponed_is_on_sale_again(tickets):
    later = NOON + timedelta(minutes=1)
    ticket = a_ticket(starts_at=later)
    tickets.add(ticket, TicketCreated)
    tickets.take_started_off_sale(later)

    ticket.edit("ana", later, title="Put off", price_cents=1000, starts_at=NOON + timedelta(days=1))
    tickets.save(ticket, TicketUpdated)

    assert titles(tickets) == ["Put off"]


@pytest.mark.parametrize("status", ["on_sale", "reserved", "sold"])
def test_a_list_shows_only_tickets_of_its_status(many, status):
    assert {ticket.status for ticket in many.list(public_list(status, "newest"), 100, None)[0]} == {status}


def test_a_seller_is_owed_what_buyers_paid_less_refunds(tickets):
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
        ticket.apply_order(order, NOON)
        tickets.add(ticket, TicketCreated)

    assert tickets.sales("ana") == [{"currency": "usd", "tickets": 4, "owed_cents": 5499}]
    assert tickets.sales("bo") == []


def test_soonest_on_sale_come_first_and_nothing_that_has_started_or_has_no_date(tickets, listed):
    hours = {"Later": 5, "Sooner": 1, "Started": -1}
    listed(
        *(
            {"title": title, "starts_at": NOON + timedelta(hours=each), "now": NOON - timedelta(1)}
            for title, each in hours.items()
        )
    )
    listed({"title": "Any day"})

    assert [ticket.title for ticket, _ in tickets.list_soonest(NOON, 5)] == ["Sooner", "Later"]
    assert [ticket.title for ticket, _ in tickets.list_soonest(NOON, 1)] == ["Sooner"]


def test_soonest_are_found_by_an_index_in_order(many):
    with Cost(many) as cost:
        many.list_soonest(NOON, 4)

    assert cost.tickets <= 2 * 4 and not cost.is_sorted


def test_pages_of_the_site_map_have_every_ticket_on_sale_once(many, monkeypatch):
    monkeypatch.setattr(store, "SITE_MAP_PAGE", 100)
    with Cost(many) as cost:
        pages = [None, *many.site_map_pages()]

    listed = [ident for after in pages for ident, _ in many.site_map(after)]

    on_sale = many.tickets.collection.distinct("_id", {"shelf": "on_sale"})
    assert len(pages) > 3 and sorted(listed) == sorted(on_sale) and len(listed) == len(on_sale)
    assert cost.tickets == 0 and not cost.is_sorted
