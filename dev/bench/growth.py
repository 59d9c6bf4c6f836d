"""The costs with much and with little data stored: two whole systems, measured at once, so that noise slows both."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count, cycle, islice

from dev.bench import sizes
from dev.bench.bulk_data import Sale
from dev.bench.load import Stream, asking, asking_for, in_threads, request
from dev.bench.people import Person
from dev.bench.rows import Measured, Row, Suite
from dev.bench.system import Site, bidding, bought, reserved
from dev.bench.system import opened as one_site
from dev.testing import wait_for

LITTLE = 600
"""Finished orders in the small system: more than a page of anti-entropy, which compares no more at a time."""
USERS = 2000
SEARCHES, CAPS = 600, count(1_000_000)
AIM = {"times": 1.1}


@dataclass(frozen=True)
class Two:
    """The same system twice: with little and with much data stored, and a user of each with the same data in both."""

    little: Site
    much: Site
    users: Sequence[Person]


def in_both(work: Callable[[Site, Person], Measured], two: Two) -> Measured:
    """Do the same in both at once; return the ratio of CPU time with much data to that with little."""
    with ThreadPoolExecutor() as pool:
        with_little, with_much = pool.map(work, (two.little, two.much), two.users)
    little, much = with_little.figures["cpu_ms"], with_much.figures["cpu_ms"]
    return Measured({"cpu_ms": much, "little_cpu_ms": little, "times": much / little}, with_much.programs)


def reading(make: Callable[[Site, Person], list[bytes]], site: Site, user: Person) -> Measured:
    """Ask for pages or lists."""
    requests = make(site, user)
    site.load.run(Stream(asking(wanted) for wanted in islice(cycle(requests), 20)))
    return site.measure(Stream(asking_for(sizes.GROWTH_SECONDS, requests)))


def reserving(site: Site, _user: Person) -> Measured:
    """Reserve tickets."""
    return site.measure(Stream(asking(buyer.reserve(one), 201) for buyer, one in bidding(site, sizes.GROWTH_ORDERS)))


def buying(site: Site, _user: Person) -> Measured:
    """Buy tickets, which every listener follows."""
    pairs = bidding(site, sizes.GROWTH_ORDERS // 6)
    return site.measure(Stream(bought(*pair) for pair in pairs), count=len(pairs))


def resting(two: Two) -> Measured:
    """Do nothing, in both at once, so that only timers run."""
    in_threads([partial(site.rest, sizes.IDLE_SECONDS) for site in (two.little, two.much)], 2)
    little, much = (sum(site.meter.idle.values()) for site in (two.little, two.much))
    return Measured({"cpu_ms": much, "little_cpu_ms": little, "times": much / little}, two.much.meter.idle)


@contextmanager
def opened(rows: Sequence[Row]) -> Iterator[Two]:
    """Run both systems, one with little in its databases, one with much."""
    with ExitStack() as stacks, ThreadPoolExecutor() as pool:
        little, much = pool.map(stacks.enter_context, [one_site(rows) for _ in range(2)])
        users = list(pool.map(filled, (little, much), (LITTLE, sizes.FINISHED), (0, sizes.TICKETS)))
        in_threads([little.rest, much.rest], 2)
        yield Two(little, much, users)


def filled(site: Site, orders: int, tickets: int) -> Person:
    """Store finished orders, and put tickets on sale; return a user who has bought others."""
    user, sale = sold_after_lapses(site)
    in_threads([partial(sale.copy, orders // sale.orders, USERS), partial(site.put_on_sale, tickets)], 2)
    return user


def sold_after_lapses(site: Site) -> tuple[Person, Sale]:
    """Sell a ticket whose first two holds lapse; return its seller, who bought others, and its stored documents."""
    first, second, third = site.newcomers(3)
    (ticket_id,) = site.put_on_sale(1)
    shown = {"_id": ticket_id, "shelf": "on_sale"}
    with site.operator() as operator:
        for buyer in (first, second):
            site.load.run(Stream(iter([reserved(buyer, ticket_id)])))
            held = site.mongo.orders.orders.find_one({"ticket_id": ticket_id, "active": True})
            assert held is not None
            site.meter.settle()
            operator.call("orders.expire_now", order_id=held["_id"])
            wait_for(lambda: site.mongo.tickets.tickets.count_documents(shown) == 1, 30, "the hold to lapse")
    site.load.run(Stream(iter([bought(third, ticket_id)])))
    site.meter.settle()
    pairs = ((third, other) for other in site.put_on_sale(60))
    site.load.run(Stream((bought(*pair) for pair in pairs), connections=4))
    site.meter.settle()
    return third, Sale(site.mongo, ticket_id)


def _search(path: str, _site: Site, _user: Person) -> list[bytes]:
    """Return searches of which none was made before, so that no cache answers them; each finds the same page."""
    caps = (next(CAPS) / 100 for _ in range(SEARCHES))
    return [request("GET", f"{path}&max_price={cap:.2f}") for cap in caps]


PAGES: dict[str, tuple[str, Callable[[Site, Person], list[bytes]]]] = {
    "list": ("list of 50 tickets", lambda site, user: [request("GET", "/api/tickets")]),
    "search": ("search for a word, by price, each another", partial(_search, "/api/tickets?q=hamlet&sort=price_asc")),
    "events": ("page of a search, by event and counted, each another", partial(_search, "/tickets?q=hamlet")),
    "misspelled": ("search for a misspelled word, each another", partial(_search, "/api/tickets?q=hamlte")),
    "ticket": ("one ticket", lambda site, user: [request("GET", f"/api/tickets/{one}") for one in site.shown]),
    "page": ("page of the list", lambda site, user: [request("GET", "/tickets")]),
    "orders": ("page of one's orders, of 61", lambda site, user: [user.get("/my/tickets")]),
    "selling": ("page of one's tickets", lambda site, user: [site.seller.get("/selling")]),
    "api-orders": ("list of one's orders, API", lambda site, user: [user.get("/api/orders")]),
}
SUITE = Suite(
    "Growth",
    f"Two whole systems, measured at once: one with 1,000 tickets and {LITTLE} finished orders, one with"
    f" {sizes.TICKETS:,} tickets on sale more and {sizes.FINISHED:,} finished orders (two in three lapsed) with all"
    ' that the services store of them. "times" is how many times the CPU-ms of the first.',
    [
        *(
            Row(f"growth-{name}", what, partial(in_both, partial(reading, make)), AIM)
            for name, (what, make) in PAGES.items()
        ),
        Row("growth-reservation", "reservation, with every listener", partial(in_both, reserving), AIM),
        Row("growth-bought", "ticket bought, with every listener", partial(in_both, buying), AIM),
        Row("growth-timers", "at rest, so every timer: CPU-ms a second", resting, AIM, rounds=1),
    ],
    opened,
)
