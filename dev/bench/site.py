"""The whole system through the gateway: reads, reservations, payments, and many deadlines at once."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pymongo

from dev.bench import cpu, load
from dev.bench.report import Row
from dev.stack import Stack
from dev.stack.operators import own_key
from dev.stack.programs import environment
from dev.testing import wait_for
from libs.clock import utc_now
from libs.contracts.events import TicketCreated
from libs.rpc import Client
from libs.tokens import Signer
from tickets.domain import Ticket
from tickets.store import new_id, to_document

READS, RESERVATIONS, DEADLINES, PAYMENTS, THREADS = 2000, 1500, 5000, 60, 16
SIZES = (100, 10_000, 100_000)
BUYERS = 16
LIMITS = dict.fromkeys(("UNPAID_RESERVATIONS_PER_BUYER", "UNPAID_RESERVATIONS_PER_HOUR"), "100000")
"""Settings that let few buyers reserve all the tickets."""


def measure(stack: Stack) -> Iterator[Row]:
    """Measure on a running system; yield the rows of the report."""
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(stack.mongo_url("admin"))
    with mongo:
        seller = sign_up(stack)
        buyers = [sign_up(stack) for _ in range(BUYERS)]
        yield from payments(stack, buyers, fill(mongo, PAYMENTS, seller))
        yield from reads(stack, mongo, seller)
        yield from reservations(stack, buyers, fill(mongo, RESERVATIONS, seller))
        yield from deadlines(stack, mongo, buyers, fill(mongo, DEADLINES, seller))


def reads(stack: Stack, mongo: Any, seller: load.Browser) -> list[Row]:
    """The list of tickets and one ticket, with more and more of them on sale."""
    rows: list[Row] = []
    for size in SIZES:
        missing = size - mongo.tickets.tickets.count_documents({"shelf": "on_sale"})
        ticket_ids = fill(mongo, max(missing, 1), seller)
        each = [f"/api/tickets/{ticket_ids[number % len(ticket_ids)]}" for number in range(READS)]
        lists = of_threads(stack, [reading("/api/tickets")] * (READS // 4))
        ones = of_threads(stack, [reading(path) for path in each])
        rows.append(Row(f"lists of 50 tickets, {size} on sale", "a second", lists.per_second))
        rows.append(Row(f"single tickets, {size} on sale", "a second", ones.per_second))
    slower = rows[0].ours / rows[-2].ours
    return [*rows, Row("a list's cost from 100 to 100 000 tickets", "times", slower, aim="≤ 1.3")]


def reservations(stack: Stack, buyers: list[load.Browser], ticket_ids: list[str]) -> list[Row]:
    """One reservation for each ticket, with every listener running."""
    groups = [cpu.group_of(stack.pid(program)) for program in stack.programs]
    before = cpu.milliseconds(*groups)
    result = of_threads(stack, [reserving(ticket_id) for ticket_id in ticket_ids], buyers)
    each = (cpu.milliseconds(*groups) - before) / len(ticket_ids)
    return [
        Row("reservations through the gateway", "a second", result.per_second, aim="≥ 150"),
        Row("reservation, in all programs and servers", "CPU-ms", each),
        Row("reservation, p50", "ms", result.percentile(50)),
        Row("reservation, p95", "ms", result.percentile(95)),
    ]


def payments(stack: Stack, buyers: list[load.Browser], ticket_ids: list[str]) -> list[Row]:
    """From Pay to complete, one buyer after the other."""
    latencies = []
    for ticket_id in ticket_ids:
        order = reserving(ticket_id)(buyers[0])
        began = time.perf_counter()
        paid = buyers[0].send("POST", "/api/payments", {"orderId": order["id"], "token": "tok_visa"}, 201)
        assert paid["status"] == "complete"
        latencies.append((time.perf_counter() - began) * 1000)
    result = load.Result(0, sorted(latencies))
    return [
        Row("from Pay to complete, p50", "ms", result.percentile(50)),
        Row("from Pay to complete, p95", "ms", result.percentile(95)),
    ]


def deadlines(stack: Stack, mongo: Any, buyers: list[load.Browser], ticket_ids: list[str]) -> list[Row]:
    """Many orders whose time runs out in the same second: how long until every ticket is on sale again."""
    of_threads(stack, [reserving(ticket_id) for ticket_id in ticket_ids], buyers)
    order_ids = [order["_id"] for order in mongo.orders.orders.find({"ticket_id": {"$in": ticket_ids}}, {"_id": 1})]
    due = datetime.now(UTC) + timedelta(seconds=len(order_ids) / 50 + 5)
    address, signer = environment("operator", stack)["OPERATOR_AMQP_URL"], Signer(own_key(stack, "bench"))
    client = Client(address, "operator")

    def move(order_id: str) -> None:
        arguments = {"order_id": order_id, "expires_at": due.isoformat()}
        client.call("orders", "move_deadline", arguments, token=signer.mint_call("orders.move_deadline"))

    load.run([partial(move, order_id) for order_id in order_ids], THREADS)
    client.close()
    assert datetime.now(UTC) < due, "moving the deadlines took too long"
    time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
    reserved = {"_id": {"$in": ticket_ids}, "shelf": "reserved"}
    wait_for(lambda: mongo.tickets.tickets.count_documents(reserved) == 0, 120, "all tickets to be on sale again")
    late = (datetime.now(UTC) - due).total_seconds()
    return [Row(f"{len(order_ids)} deadlines in one second, until the last ticket is free", "s", late, aim="≤ 30")]


def of_threads(
    stack: Stack, actions: list[Callable[[load.Browser], Any]], browsers: list[load.Browser] | None = None
) -> load.Result:
    """Run every action once, each thread with a connection of its own."""
    local, spare = threading.local(), [load.Browser(stack.gateway_url, buyer.cookie) for buyer in browsers or []]

    def act(action: Callable[[load.Browser], Any]) -> None:
        if not hasattr(local, "browser"):
            local.browser = spare.pop() if spare else load.Browser(stack.gateway_url)
        action(local.browser)

    return load.run([partial(act, action) for action in actions], THREADS)


def reading(path: str) -> Callable[[load.Browser], Any]:
    """Return the action of getting a path."""
    return lambda browser: browser.send("GET", path)


def reserving(ticket_id: str) -> Callable[[load.Browser], Any]:
    """Return the action of reserving a ticket."""
    return lambda browser: browser.send("POST", "/api/orders", {"ticketId": ticket_id}, 201)


def sign_up(stack: Stack) -> load.Browser:
    """Return the browser of a new user."""
    browser = load.Browser(stack.gateway_url)
    email = f"{secrets.token_hex(6)}@example.org"
    browser.user_id = browser.send("POST", "/api/users/signup", {"email": email, "password": "correct horse"}, 201)[
        "id"
    ]
    return browser


def fill(mongo: Any, count: int, seller: load.Browser) -> list[str]:
    """Put `count` tickets on sale, straight into the databases of tickets and orders; return their ids."""
    now, ids = utc_now(), [new_id() for _ in range(count)]
    tickets, copies = [], []
    for number, ticket_id in enumerate(ids):
        title, cents = f"Hamlet, seat {number}", 500 + number % 5000
        ticket = Ticket.create(ticket_id, seller.user_id, "usd", now, title=title, price_cents=cents, category="stage")
        tickets.append({**_kept(to_document(ticket)), "outbox": []})
        copies.append(_kept(TicketCreated.load(ticket.snapshot())))
    mongo.orders.tickets.insert_many(copies)  # first, so that anti-entropy of orders has none to fetch
    mongo.tickets.tickets.insert_many(tickets)
    return ids


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {"_id": fields["id"], **{name: value for name, value in fields.items() if name != "id"}}
