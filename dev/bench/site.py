"""The system through the gateway: reads, signing in, reservations, purchases, and many deadlines at once."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from dev.bench import rush, sizes
from dev.bench.load import Actor, Stream, asking, asking_for, check, in_threads, request
from dev.bench.people import Person
from dev.bench.rows import Measured, Row, Suite
from dev.bench.system import PASSWORD, Site, bidding, bought, opened, percentiles, reserved
from dev.testing import wait_for


def reads(path: str, site: Site) -> Measured:
    """Requests for one path, by guests."""
    return _reading(site, [request("GET", path)])


def tickets(site: Site) -> Measured:
    """Requests for one of 1,000 tickets, evenly."""
    requests = [request("GET", f"/api/tickets/{ticket_id}") for ticket_id in site.shown]
    site.load.run(Stream(asking(wanted) for wanted in 3 * requests))  # so that each process has seen nearly all of them
    return _reading(site, requests)


def page_signed_in(site: Site) -> Measured:
    """Requests for the page of all tickets by users who are signed in."""
    return _reading(site, [person.get("/tickets") for person in site.newcomers(48)])


def _reading(site: Site, requests: list[bytes]) -> Measured:
    site.load.run(Stream(asking_for(sizes.WARM_UP_SECONDS, requests)))
    return site.measure(Stream(asking_for(sizes.READ_SECONDS, requests)))


def signing_in(site: Site) -> Measured:
    """Sign-ins with a password, each by another of the users who signed up."""
    emails = site.registered
    bodies = [{"email": emails[number % len(emails)], "password": PASSWORD} for number in range(sizes.SIGN_INS)]
    return site.measure(Stream(asking(request("POST", "/api/users/signin", body=body)) for body in bodies))


def reservations(site: Site) -> Measured:
    """One reservation of each ticket, by buyers who reserve a few each, with every listener running."""
    requests = [buyer.reserve(ticket_id) for buyer, ticket_id in bidding(site, sizes.RESERVATIONS)]
    return site.measure(Stream(asking(wanted, 201) for wanted in requests))


def reservations_by_form(site: Site) -> Measured:
    """The same by the form on the ticket's page."""
    requests = [buyer.reserve_by_form(ticket_id) for buyer, ticket_id in bidding(site, sizes.FORMS)]
    return site.measure(Stream(asking(wanted, 303) for wanted in requests))


def refused(act: Any, site: Site) -> Measured:
    """Requests for tickets that another buyer has, by `act(buyer, ticket_id)`."""
    ticket_ids = site.put_on_sale(10)
    buyers = site.newcomers(10)
    site.load.run(Stream(act(buyer, ticket_id) for buyer, ticket_id in zip(buyers, ticket_ids, strict=True)))
    others = site.newcomers(200)
    requests = [other.reserve(ticket_ids[number % 10]) for number, other in enumerate(others)]
    site.load.run(Stream(asking(wanted, 409) for wanted in requests))
    return site.measure(Stream(asking(requests[number % 200], 409) for number in range(sizes.REFUSALS)))


def purchases(site: Site) -> Measured:
    """Tickets bought by many buyers at once; the latencies are those of whole purchases."""
    began: dict[str, float] = {}
    latencies: list[float] = []

    def timed(buyer: Person, ticket_id: str) -> Actor:
        began[ticket_id] = time.perf_counter()
        yield from bought(buyer, ticket_id)
        latencies.append((time.perf_counter() - began[ticket_id]) * 1000)

    pairs = bidding(site, sizes.PURCHASES)
    done = site.measure(Stream(timed(*pair) for pair in pairs), count=len(pairs))
    return Measured({**done.figures, **percentiles(latencies)}, done.programs)


def payments(site: Site) -> Measured:
    """From Pay to complete, one buyer after the other."""
    latencies = []

    def paying(buyer: Person, ticket_id: str) -> Actor:
        order = check(201, (yield buyer.reserve(ticket_id))).json()
        began = time.perf_counter()
        paid = check(201, (yield buyer.pay(order["id"]))).json()
        assert paid["status"] == "complete"
        latencies.append((time.perf_counter() - began) * 1000)

    pairs = bidding(site, sizes.PAYMENTS)
    site.load.run(Stream((paying(*pair) for pair in pairs), connections=1))
    return Measured(percentiles(latencies))


def deadlines(site: Site) -> Measured:
    """Many orders whose time runs out in the same second: tickets on sale again a second, until the last of them."""
    pairs = bidding(site, sizes.DEADLINES)
    ticket_ids = [ticket_id for _, ticket_id in pairs]
    site.load.run(Stream(reserved(*pair) for pair in pairs))
    site.meter.settle()
    found = site.mongo.orders.orders.find({"ticket_id": {"$in": ticket_ids}}, {"_id": 1})
    order_ids = [order["_id"] for order in found]
    due = datetime.now(UTC) + timedelta(seconds=len(order_ids) / 50 + 5)

    def move(order_id: str) -> None:
        operator.call("orders.move_deadline", order_id=order_id, expires_at=due.isoformat())

    with site.operator() as operator:
        in_threads([partial(move, order_id) for order_id in order_ids], 8)
    assert datetime.now(UTC) < due, "moving the deadlines took too long"
    time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    held = {"_id": {"$in": ticket_ids}, "shelf": "reserved"}
    wait_for(lambda: site.mongo.tickets.tickets.count_documents(held) == 0, 120, "all tickets to be on sale again")
    seconds = (datetime.now(UTC) - due).total_seconds()
    return Measured({"per_second": len(order_ids) / seconds})


SUITE = Suite(
    "The site",
    "Through the gateway, with 16 connections, every program running. Lists are the newest of what is on sale. All"
    " buyers of a rush come within one second, each on a connection of their own that stays open,"
    " and their latencies count from when they had to come; others ask for lists, tickets and pages meanwhile,"
    f" {rush.OTHERS_PER_SECOND} times a second"
    ' ("others p99"; the CPU-ms include it). "Failed" is whatever is neither a ticket nor a refusal that says why.',
    [
        Row("list-20", "list of 20 tickets, API", partial(reads, "/api/tickets?limit=20"), {"per_second": 4000}),
        Row("list-50", "list of 50 tickets, API", partial(reads, "/api/tickets"), {"per_second": 4000}),
        Row("ticket", "one of 1,000 tickets requested evenly, API", tickets, {"per_second": 4000}),
        Row("page", "page of the list, guests", partial(reads, "/tickets"), {"per_second": 3000}),
        Row("page-signed-in", "the same, signed in", page_signed_in, {"per_second": 1200}),
        Row("sign-in", "sign-in with a password", signing_in),
        Row("reservation", "reservation, API", reservations, {"per_second": 250, "cpu_ms": 7}),
        Row("reservation-form", "reservation by the page's form", reservations_by_form),
        Row("refusal-reserved", "refusal: reserved by another", partial(refused, reserved), {"cpu_ms": 1.5}),
        Row("refusal-sold", "refusal: sold", partial(refused, bought), {"cpu_ms": 1.5}),
        Row("bought", "ticket bought: reserved, paid, complete", purchases, {"per_second": 100}),
        Row("pay", "from Pay to complete, one after the other", payments),
        Row(
            "deadlines",
            "holds that lapse in one second, until the last is on sale again; orders' sweep, every five seconds, helps",
            deadlines,
            {"per_second": 167},
            rounds=1,
        ),
        *rush.ROWS,
    ],
    opened,
)
