"""Tickets and finished orders, straight into the databases: what would take hours through the gateway."""

from typing import Any

from libs.clock import utc_now
from libs.contracts.events import TicketCreated
from tickets.domain import Ticket
from tickets.store import new_id, to_document

BATCH = 10_000


def fill(mongo: Any, count: int, seller_id: str) -> list[str]:
    """Put `count` tickets on sale in the databases of tickets and orders; return their ids."""
    now, ids = utc_now(), [new_id() for _ in range(count)]
    for start in range(0, count, BATCH):
        tickets, copies = [], []
        for number, ticket_id in enumerate(ids[start : start + BATCH], start):
            title, cents = f"Hamlet, seat {number}", 500 + number % 5000
            ticket = Ticket.create(ticket_id, seller_id, "usd", now, title=title, price_cents=cents, category="stage")
            tickets.append({**_kept(to_document(ticket)), "outbox": []})
            copies.append(_kept(TicketCreated.load(ticket.snapshot())))
        mongo.orders.tickets.insert_many(copies)  # first, so that anti-entropy of orders has none to fetch
        mongo.tickets.tickets.insert_many(tickets)
    return ids


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {"_id": fields["id"], **{name: value for name, value in fields.items() if name != "id"}}
