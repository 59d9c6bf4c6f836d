"""Tickets and finished orders, inserted straight into the databases: through the gateway it would take hours."""

import secrets
from collections.abc import Iterator
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from libs.clock import utc_now
from libs.database import duplicates_in
from tickets.domain import Ticket
from tickets.spelling import Spelling
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
            copies.append(_kept(ticket.snapshot()))
        mongo.orders.tickets.insert_many(copies)  # first, so that anti-entropy of orders has none to fetch
        mongo.tickets.tickets.insert_many(tickets)
        Spelling(mongo.tickets.words).learn({word for ticket in tickets for word in ticket["words"]})
    return ids


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {"_id": fields["id"], **{name: value for name, value in fields.items() if name != "id"}}


PARTS = ("tickets", "orders", "payments", "expiration")
LOOKUPS = ("_id", "ticket_id", "order_id", "order.id")


class Sale:
    """A sold ticket with everything that the services store of it and of its orders, as a template for copies.

    `names` are the ids of the ticket, its orders and the users among them. The documents stay encoded, and the ids, all
    of one length, are replaced in them: so copies are as real as the original, and cost little.
    """

    def __init__(self, mongo: Any, ticket_id: str) -> None:
        self._mongo = mongo
        orders = list(mongo.orders.orders.find({"ticket_id": ticket_id}))
        self.orders = len(orders)
        self._shared = {orders[0]["seller_id"], *(one["buyer_id"] for one in orders)}
        self._own = {ticket_id, *(one["_id"] for one in orders)}
        documents = list(self._find())
        for _, document in documents:
            found = bson.decode(document)
            self._own |= {found["_id"], found.get("stripe_id") or found["_id"]}
        names = [(name, name.encode()) for name in self._own | self._shared]
        self._documents = [
            (collection, document, [pair for pair in names if pair[1] in document])
            for collection, document in documents
        ]

    def _find(self) -> Iterator[tuple[Any, bytes]]:
        for part in PARTS:
            database = self._mongo.get_database(part, codec_options=CodecOptions(RawBSONDocument))
            for name in database.list_collection_names():
                collection = database[name]
                where = {"$or": [{field: {"$in": list(self._own)}} for field in LOOKUPS]}
                yield from ((collection, bytes(found.raw)) for found in collection.find(where))

    def copy(self, count: int, users: int) -> None:
        """Store so many copies, of tickets with new ids, and of orders between so many other users."""
        people = [{name: new_id().encode() for name in self._shared} for _ in range(users)]
        for start in range(0, count, BATCH // 10):
            batch: dict[Any, list[RawBSONDocument]] = {}
            for number in range(start, min(start + BATCH // 10, count)):
                new = {name: _like(name).encode() for name in self._own} | people[number % users]
                for collection, document, names in self._documents:
                    for name, encoded in names:
                        document = document.replace(encoded, new[name])
                    batch.setdefault(collection, []).append(RawBSONDocument(document))
            for collection, documents in batch.items():
                _insert(collection, documents)


def _insert(collection: Any, documents: list[RawBSONDocument]) -> None:
    """Insert documents, except copies that anti-entropy has made meanwhile."""
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        duplicates_in(error)  # or it raises


def _like(name: str) -> str:
    """Return a new id of the form and length of another: MongoDB's, or Stripe's."""
    if len(name) == len(new_id()) and "_" not in name:
        return new_id()
    prefix, _, random = name.partition("_")
    return f"{prefix}_{secrets.token_hex(len(random))[: len(random)]}"
