"""The whole system through the gateway: reads, signing in, reservations, purchases, and many deadlines at once."""

import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pymongo

from dev.bench import cpu, sizes
from dev.bench.goods import fill
from dev.bench.load import Actor, Load, Stream, asking, asking_for, check, in_threads, percentile, request
from dev.bench.people import Person, people
from dev.bench.rows import Measured, Row, Suite
from dev.stack import Stack, free_ports
from dev.stack.operators import own_key
from dev.stack.ports import HOST
from dev.stack.programs import all_programs, environment
from dev.testing import wait_for
from libs.rpc import Client
from libs.tokens import Signer

PASSWORD = "correct horse battery"  # noqa: S105 - of users of this run alone
HOLDS = 5
"""How many tickets one buyer reserves: half of what a buyer may hold unpaid."""
NOT_OURS = "fake-stripe"
QUIET = {"LOG_LEVEL": "WARNING"}


class Site:
    """A running system, with tickets for 1,000 to look at, and what it takes to use it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.load = Load(HOST, stack.ports.gateway)
        self.mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(stack.mongo_url("admin"))
        self.meter = cpu.Meter({name: cpu.group_of(stack.pid(name)) for name in stack.programs})
        self._people = people(stack)
        self.seller = next(self._people)
        self.shown = self.put_on_sale(1000)

    def put_on_sale(self, count: int) -> list[str]:
        """Put new tickets on sale, straight into the databases; return their ids."""
        return fill(self.mongo, count, self.seller.id)

    def newcomers(self, count: int) -> list[Person]:
        """Return users who have done nothing yet."""
        return list(islice(self._people, count))

    @cached_property
    def registered(self) -> list[str]:
        """The email addresses of users who signed up."""
        emails = [f"{secrets.token_hex(6)}@example.org" for _ in range(sizes.REGISTERED)]
        bodies = [{"email": email, "password": PASSWORD} for email in emails]
        self.load.run(Stream(asking(request("POST", "/api/users/signup", body=body), 201) for body in bodies))
        return emails

    def measure(self, *streams: Stream, count: int = 0, **more: float) -> Measured:
        """Run streams; return the figures of the first, for so many operations, or else for as many as its replies."""
        first = streams[0]
        self.meter.settle()
        before, began = self.meter.read(), time.perf_counter()
        seconds = self.load.run(*streams)
        self.meter.settle()
        used = self.meter.since(before, time.perf_counter() - began)
        done = count or len(first.latencies_ms)
        programs = {name: spent / done for name, spent in used.items()}
        return Measured(
            {
                "per_second": done / seconds,
                "cpu_ms": sum(spent for name, spent in programs.items() if name != NOT_OURS),
                **percentiles(first.latencies_ms),
                **more,
            },
            programs,
        )


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Return the figures of latencies."""
    return {f"p{percent}_ms": percentile(latencies_ms, percent) for percent in (50, 95, 99)}


@contextmanager
def opened(rows: Sequence[Row], **settings: str) -> Iterator[Site]:
    """Run the whole system and measure what it uses at rest."""
    environ = {**QUIET, **settings}
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), free_ports(), all_programs, environ) as stack:
        site = Site(stack)
        with site.mongo:
            _look_around(site)
            site.meter.settle()
            site.meter.rest(sizes.REST_SECONDS)
            yield site


def _look_around(site: Site) -> None:
    """Let every program do some of its work once, so that none of that is measured the first time."""
    site.load.run(Stream(iter([bought(site.newcomers(1)[0], ticket_id) for ticket_id in site.put_on_sale(10)]), 2))
    site.load.run(Stream(asking_for(0.5, [request("GET", "/"), request("GET", "/api/tickets")])))


def reads(path: str, site: Site) -> Measured:
    """Requests for one path, by guests."""
    return _reading(site, [request("GET", path)])


def tickets(site: Site) -> Measured:
    """Requests for one of 1,000 tickets, evenly."""
    return _reading(site, [request("GET", f"/api/tickets/{ticket_id}") for ticket_id in site.shown])


def page_signed_in(site: Site) -> Measured:
    """Requests for the page of all tickets by users who are signed in."""
    return _reading(site, [person.get("/") for person in site.newcomers(48)])


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
    requests = [buyer.reserve(ticket_id) for buyer, ticket_id in _bidding(site, sizes.RESERVATIONS)]
    return site.measure(Stream(asking(wanted, 201) for wanted in requests))


def reservations_by_form(site: Site) -> Measured:
    """The same by the form on the ticket's page."""
    requests = [buyer.reserve_by_form(ticket_id) for buyer, ticket_id in _bidding(site, sizes.FORMS)]
    return site.measure(Stream(asking(wanted, 303) for wanted in requests))


def _bidding(site: Site, count: int) -> list[tuple[Person, str]]:
    """Return so many new tickets on sale, each with a new buyer, of whom each gets HOLDS of them."""
    buyers = chain.from_iterable(zip(*[site.newcomers(count // HOLDS + 1)] * HOLDS, strict=True))
    return list(zip(buyers, site.put_on_sale(count), strict=False))


def refused(act: Any, site: Site) -> Measured:
    """Requests for tickets that somebody else has got, by `act(buyer, ticket_id)`."""
    ticket_ids = site.put_on_sale(10)
    buyers = site.newcomers(10)
    site.load.run(Stream(act(buyer, ticket_id) for buyer, ticket_id in zip(buyers, ticket_ids, strict=True)))
    others = site.newcomers(200)
    requests = [other.reserve(ticket_ids[number % 10]) for number, other in enumerate(others)]
    site.load.run(Stream(asking(wanted, 409) for wanted in requests))
    return site.measure(Stream(asking(requests[number % 200], 409) for number in range(sizes.REFUSALS)))


def reserved(buyer: Person, ticket_id: str) -> Actor:
    """Return the actor that reserves a ticket."""
    return asking(buyer.reserve(ticket_id), 201)


def bought(buyer: Person, ticket_id: str) -> Actor:
    """Return the actor that buys a ticket: reserves it, pays, and looks until the order is complete."""
    order = check(201, (yield buyer.reserve(ticket_id))).json()
    check(201, (yield buyer.pay(order["id"])))
    while check(200, (yield buyer.get(f"/api/orders/{order['id']}"))).json()["status"] != "complete":
        pass


def purchases(site: Site) -> Measured:
    """Tickets bought by many buyers at once; the latencies are those of whole purchases."""
    began: dict[str, float] = {}
    latencies: list[float] = []

    def timed(buyer: Person, ticket_id: str) -> Actor:
        began[ticket_id] = time.perf_counter()
        yield from bought(buyer, ticket_id)
        latencies.append((time.perf_counter() - began[ticket_id]) * 1000)

    pairs = _bidding(site, sizes.PURCHASES)
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

    pairs = _bidding(site, sizes.PAYMENTS)
    site.load.run(Stream((paying(*pair) for pair in pairs), connections=1))
    return Measured(percentiles(latencies))


def deadlines(site: Site) -> Measured:
    """Many orders whose time runs out in the same second: tickets on sale again a second, until the last of them."""
    pairs = _bidding(site, sizes.DEADLINES)
    ticket_ids = [ticket_id for _, ticket_id in pairs]
    site.load.run(Stream(reserved(*pair) for pair in pairs))
    site.meter.settle()
    found = site.mongo.orders.orders.find({"ticket_id": {"$in": ticket_ids}}, {"_id": 1})
    order_ids = [order["_id"] for order in found]
    due = datetime.now(UTC) + timedelta(seconds=len(order_ids) / 100 + 3)
    operator = environment("operator", site.stack)["OPERATOR_AMQP_URL"]
    client, signer = Client(operator, "operator"), Signer(own_key(site.stack, "bench"))

    def move(order_id: str) -> None:
        arguments = {"order_id": order_id, "expires_at": due.isoformat()}
        client.call("orders", "move_deadline", arguments, token=signer.mint_call("orders.move_deadline"))

    in_threads([partial(move, order_id) for order_id in order_ids], 8)
    client.close()
    assert datetime.now(UTC) < due, "moving the deadlines took too long"
    time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    held = {"_id": {"$in": ticket_ids}, "shelf": "reserved"}
    wait_for(lambda: site.mongo.tickets.tickets.count_documents(held) == 0, 120, "all tickets to be on sale again")
    seconds = (datetime.now(UTC) - due).total_seconds()
    return Measured({"per_second": len(order_ids) / seconds})


SUITE = Suite(
    "The site",
    "Through the gateway, with 16 connections, every program running. Lists are the newest of what is on sale.",
    [
        Row("list-20", "list of 20 tickets, API", partial(reads, "/api/tickets?limit=20"), {"per_second": 4000}),
        Row("list-50", "list of 50 tickets, API", partial(reads, "/api/tickets"), {"per_second": 4000}),
        Row("ticket", "one of 1,000 tickets requested evenly, API", tickets, {"per_second": 4000}),
        Row("page", "page of the list, guests", partial(reads, "/"), {"per_second": 3000}),
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
            "holds that lapse in one second, until the last is on sale again",
            deadlines,
            {"per_second": 167},
        ),
    ],
    opened,
)
