"""Rushes: 2,000 buyers for one ticket, 200 for each of ten, and a sale in which most holds lapse."""

import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import cycle

from dev.bench import sizes
from dev.bench.load import Actor, Reply, Stream, percentile, request
from dev.bench.people import Person
from dev.bench.rows import Measured, Row, Suite
from dev.bench.system import Site, opened

OTHERS_PER_SECOND = 50
WINDOW_SECONDS, LAPSING, ARRIVALS_PER_SECOND = 2, 0.7, 50
"""In the sale: how long a buyer may take to pay, how many never do, and how many buyers come."""
ANSWERS = {201: "won", 409: "refused"}


def others(site: Site) -> Stream:
    """Return the actors that read lists, tickets and pages meanwhile."""
    paths = ["/tickets", "/api/tickets", *(f"/api/tickets/{ticket_id}" for ticket_id in site.shown[:8])]
    looking = (_looking(request("GET", path)) for path in cycle(paths))
    return Stream(looking, per_second=OTHERS_PER_SECOND, background=True)


def _looking(wanted: bytes) -> Actor:
    yield wanted


def rush(ticket_count: int, site: Site) -> Measured:
    """Let sizes.RUSH buyers come within a second, spread over so many tickets; each of these has one winner."""
    ticket_ids, buyers = site.put_on_sale(ticket_count), site.newcomers(sizes.RUSH)
    answers: Counter[str] = Counter()

    def trying(buyer: Person, ticket_id: str) -> Actor:
        answer: Reply = yield buyer.reserve(ticket_id)
        answers[ANSWERS.get(answer.status, "failed")] += 1

    meanwhile = others(site)
    pairs = zip(buyers, cycle(ticket_ids), strict=False)
    coming = Stream((trying(*pair) for pair in pairs), per_second=sizes.RUSH)
    measured = site.measure(coming, meanwhile)
    held = site.mongo.orders.orders.count_documents({"ticket_id": {"$in": ticket_ids}, "active": True})
    assert answers["won"] == held == ticket_count, f"{held} orders, {answers} on {ticket_count} tickets"
    return _with_others(measured, meanwhile, answers["failed"])


def sale(site: Site) -> Measured:
    """Let buyers come until every ticket is sold; most of those who reserve one never pay."""
    ticket_ids = set(site.put_on_sale(sizes.SALE))
    answers: Counter[str] = Counter()
    chance = random.Random(1)  # noqa: S311 - the same sale each time

    def coming(buyers: Iterator[Person]) -> Iterator[Actor]:
        for buyer in buyers:
            if not ticket_ids:
                return
            yield trying(buyer, chance.choice(sorted(ticket_ids)))

    def trying(buyer: Person, ticket_id: str) -> Actor:
        answer: Reply = yield buyer.reserve(ticket_id)
        answers[ANSWERS.get(answer.status, "failed")] += 1
        if answer.status == 201 and chance.random() >= LAPSING:
            paid: Reply = yield buyer.pay(answer.json()["id"])
            answers["paid" if paid.status == 201 else "failed"] += 1
            ticket_ids.discard(ticket_id)

    meanwhile = others(site)
    buyers = Stream(coming(site.endless_newcomers()), per_second=ARRIVALS_PER_SECOND)
    measured = site.measure(buyers, meanwhile, count=sizes.SALE)
    assert answers["paid"] == sizes.SALE, answers
    figures = _with_others(measured, meanwhile, answers["failed"]).figures
    shown = {name: value for name, value in figures.items() if name not in ("cpu_ms", "per_second")}
    return Measured({**shown, "lapsed_holds": answers["won"] - answers["paid"]})


def _with_others(measured: Measured, meanwhile: Stream, failed: int) -> Measured:
    p99 = percentile(meanwhile.latencies_ms, 99)
    return Measured({**measured.figures, "others_p99_ms": p99, "failed": failed}, measured.programs)


AIMS = {"p99_ms": 1000, "others_p99_ms": 500, "failed": 0}
ROWS = [
    Row("rush-one", "2,000 buyers on one ticket", partial(rush, 1), AIMS),
    Row("rush-ten", "200 buyers on each of ten tickets", partial(rush, 10), AIMS),
]
SUITE = Suite(
    "A sale",
    f"{ARRIVALS_PER_SECOND} buyers come a second, each for one of the tickets that are not sold yet, until"
    f" {sizes.SALE} are sold; {100 * LAPSING:.0f} % of those who reserve one let it lapse, after {WINDOW_SECONDS} s."
    " Others look around as in a rush.",
    [Row("sale", "a sale in which 70 % of holds lapse", sale, AIMS, rounds=1)],
    partial(opened, RESERVATION_WINDOW_SECONDS=str(WINDOW_SECONDS)),
)
