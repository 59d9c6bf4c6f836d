"""The whole system, running, and the people who use it through the gateway."""

import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pymongo

from dev.bench import cpu, sizes
from dev.bench.bulk_data import fill
from dev.bench.load import Actor, Load, Stream, asking, asking_for, check, percentile, request
from dev.bench.people import Person, people
from dev.bench.rows import Measured, Row
from dev.stack import Stack, free_ports
from dev.stack.operators import own_key
from dev.stack.ports import HOST
from dev.stack.programs import all_programs, environment
from libs.revocations import QUIET_SECONDS
from libs.rpc import Client
from libs.tokens import Signer

PASSWORD = "correct horse battery"  # noqa: S105 - of users of this run alone
HOLDS = 5
"""How many tickets one buyer reserves: half of what a buyer may hold unpaid."""
ASLEEP_SECONDS = QUIET_SECONDS + 2
"""After how long without a request no work for requests is left."""
NOT_OURS = "fake-stripe"
QUIET = {"LOG_LEVEL": "WARNING"}


class Site:
    """A running system with 1,000 tickets on sale, and ways to use it."""

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

    def endless_newcomers(self) -> Iterator[Person]:
        """Yield users who have done nothing yet."""
        return self._people

    def operator(self) -> "Operator":
        """Return a new operator."""
        return Operator(self.stack)

    @cached_property
    def registered(self) -> list[str]:
        """The email addresses of users who signed up."""
        return self.sign_up(sizes.REGISTERED)

    def sign_up(self, count: int) -> list[str]:
        """Let users sign up; return their email addresses."""
        emails = [f"{secrets.token_hex(6)}@example.org" for _ in range(count)]
        bodies = [{"email": email, "password": PASSWORD} for email in emails]
        self.load.run(Stream(asking(request("POST", "/api/users/signup", body=body), 201) for body in bodies))
        return emails

    def rest(self, seconds: float = sizes.REST_SECONDS) -> None:
        """Measure for so long the programs' use at rest, once all have settled, and none follows ended sessions."""
        self.meter.settle()
        time.sleep(max(0.0, self.load.ended_at + ASLEEP_SECONDS - time.monotonic()))
        self.meter.rest(seconds)

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


class Operator:
    """An operator who calls services, for a `with` statement."""

    def __init__(self, stack: Stack) -> None:
        self._client = Client(environment("operator", stack)["OPERATOR_AMQP_URL"], "operator")
        self._signer = Signer(own_key(stack, "bench"))

    def __enter__(self) -> "Operator":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(self, method: str, **arguments: Any) -> Any:
        """Call `<service>.<method>`."""
        service, _, name = method.partition(".")
        return self._client.call(service, name, arguments, token=self._signer.mint_call(method))


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Return the figures of latencies."""
    return {f"p{percent}_ms": percentile(latencies_ms, percent) for percent in (50, 95, 99)}


@contextmanager
def opened(rows: Sequence[Row], **settings: str) -> Iterator[Site]:
    """Run the whole system and measure its use at rest."""
    environ = {**QUIET, **settings}
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), free_ports(), all_programs, environ) as stack:
        site = Site(stack)
        with site.mongo:
            _look_around(site)
            site.meter.settle()
            site.meter.rest(sizes.REST_SECONDS)
            yield site


def _look_around(site: Site) -> None:
    """Warm up: have every program do some of its work once."""
    site.load.run(Stream(iter([bought(site.newcomers(1)[0], ticket_id) for ticket_id in site.put_on_sale(10)]), 2))
    site.load.run(Stream(asking_for(0.5, [request("GET", "/tickets"), request("GET", "/api/tickets")])))


def bidding(site: Site, count: int) -> list[tuple[Person, str]]:
    """Return so many new tickets on sale, each with its buyer; each buyer gets HOLDS of them."""
    buyers = chain.from_iterable(zip(*[site.newcomers(count // HOLDS + 1)] * HOLDS, strict=True))
    return list(zip(buyers, site.put_on_sale(count), strict=False))


def reserved(buyer: Person, ticket_id: str) -> Actor:
    """Return the actor that reserves a ticket."""
    return asking(buyer.reserve(ticket_id), 201)


def bought(buyer: Person, ticket_id: str) -> Actor:
    """Return the actor that buys a ticket: reserves it, pays, and looks until the order is complete."""
    order = check(201, (yield buyer.reserve(ticket_id))).json()
    seen = check(201, (yield buyer.pay(order["id"]))).json()
    while seen["status"] != "complete":  # not within the five seconds for which the gateway waits
        seen = check(200, (yield buyer.get(f"/api/orders/{order['id']}"))).json()
