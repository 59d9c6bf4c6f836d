"""The listings, in MongoDB."""

import re
from dataclasses import asdict
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from libs.events import Aggregates, Event
from tickets.domain import Ticket, TicketNotFound, words

Document = dict[str, Any]

DERIVED = ("status", "words")
SORTS: dict[str, list[tuple[str, int]]] = {
    "newest": [("_id", DESCENDING)],
    "price_asc": [("price_cents", ASCENDING), ("_id", ASCENDING)],
    "price_desc": [("price_cents", DESCENDING), ("_id", DESCENDING)],
}


def new_id() -> str:
    """Return a fresh id; later ones sort after earlier ones."""
    return str(ObjectId())


class TicketStore:
    """Listings with their outboxes; `status` and `words` are stored beside a ticket's fields for the lists alone."""

    def __init__(self, db: Database[Document]) -> None:
        self.tickets = Aggregates(db.tickets)

    def create_indexes(self) -> None:
        """Index every list that the pages and the API offer."""
        collection = self.tickets.collection
        for sort in SORTS.values():
            collection.create_index([("status", ASCENDING), *sort])
            collection.create_index([("status", ASCENDING), ("category", ASCENDING), *sort])
        collection.create_index([("status", ASCENDING), ("words", ASCENDING), ("_id", DESCENDING)])
        collection.create_index([("seller_id", ASCENDING), ("_id", DESCENDING)])

    def get(self, ticket_id: object) -> Ticket:
        """Return a ticket; raise TicketNotFound."""
        found = self.tickets.find(ticket_id) if isinstance(ticket_id, str) else None
        if found is None:
            raise TicketNotFound("There is no such ticket.")
        return _ticket(found)

    def add(self, ticket: Ticket, event: Event) -> None:
        """Insert a new ticket with the event that announces it."""
        self.tickets.add(_fields(ticket), event, ticket.public())

    def save(self, ticket: Ticket, event: Event) -> None:
        """Save a changed ticket with the event that tells of it; raise VersionConflict."""
        self.tickets.save(_fields(ticket), event, ticket.public())

    def list(self, where: Document, sort: str, limit: int, after: Document | None) -> list[Ticket]:
        """Return at most `limit` tickets that match, in the order `sort`, those beyond the position `after`."""
        order = SORTS[sort]
        if after is not None:
            where = {"$and": [where, beyond(order, after)]}
        return [_ticket(found) for found in self.tickets.find_all(where, sort=order, limit=limit)]


def on_offer(
    status: str,
    now: datetime,
    q: str | None = None,
    category: str | None = None,
    min_price_cents: int | None = None,
    max_price_cents: int | None = None,
) -> Document:
    """Return the query for the public list. What is on sale has not started yet."""
    where: Document = {} if status == "all" else {"status": status}
    if status == "on_sale":
        where["$or"] = [{"starts_at": None}, {"starts_at": {"$gt": now}}]
    if category is not None:
        where["category"] = category
    if q:
        where["$and"] = [{"words": {"$regex": f"^{re.escape(word)}"}} for word in words(q)] or [{}]
    bounds = {"$gte": min_price_cents, "$lte": max_price_cents}
    price = {operator: bound for operator, bound in bounds.items() if bound is not None}
    return {**where, "price_cents": price} if price else where


def position(ticket: Ticket, sort: str) -> Document:
    """Return the place of a ticket in the order `sort`, from which a next page goes on."""
    place = {"_id": ticket.id, "price_cents": ticket.price_cents}
    return {name: place[name] for name, _ in SORTS[sort]}


def beyond(order: list[tuple[str, int]], after: Document) -> Document:
    """Return the query for what comes after the position `after` in `order`."""
    alternatives: list[Document] = []
    equal: Document = {}
    for name, direction in order:
        alternatives.append({**equal, name: {"$gt" if direction == ASCENDING else "$lt": after[name]}})
        equal[name] = after[name]
    return {"$or": alternatives}


def _fields(ticket: Ticket) -> Document:
    return {**asdict(ticket), "status": ticket.status, "words": words(ticket.title, ticket.venue)}


def _ticket(found: Document) -> Ticket:
    return Ticket(**{name: value for name, value in found.items() if name not in DERIVED})
