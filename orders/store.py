"""The orders, and copies of their tickets, in MongoDB."""

from collections.abc import Collection
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from libs.contracts.errors import OrderNotFound
from libs.contracts.events import CATALOGUE
from libs.events import CHANGES_INDEX, OUTBOX_INDEX, Aggregates, Copies, Schema
from libs.shared_reads import SharedReads
from orders.domain import Order

Document = dict[str, Any]

HOLDING = ("status", "buyer_id", "seller_id", "reservation_no")
"""The fields of an order that identify who holds its ticket, apart from its id."""
ORDER_FIELDS = [field.name for field in fields(Order)]


class OrderStore:
    """Orders with their outboxes. `active` is True while an order holds its ticket, and absent once it is cancelled.

    `slot` is the number of an unpaid order among its buyer's: no two unpaid orders of a buyer have the same.
    `asked_at`: when payments was last asked about an order without learning its outcome.

    Unique indexes refuse a second order of a ticket that is live, or has the same number, and a second unpaid order in
    the same slot of a buyer.
    """

    schema = Schema(
        {
            "orders": [
                OUTBOX_INDEX,
                CHANGES_INDEX,
                IndexModel(
                    [("ticket_id", ASCENDING)], unique=True, partialFilterExpression={"active": True}, name="one_winner"
                ),
                IndexModel([("ticket_id", ASCENDING), ("reservation_no", DESCENDING)], unique=True),
                IndexModel(
                    [("buyer_id", ASCENDING), ("idempotency_key", ASCENDING)],
                    unique=True,
                    partialFilterExpression={"idempotency_key": {"$exists": True}},
                ),
                IndexModel([("buyer_id", ASCENDING), ("_id", DESCENDING)]),
                IndexModel(
                    [("buyer_id", ASCENDING), ("slot", ASCENDING)],
                    unique=True,
                    partialFilterExpression={"status": "created", "slot": {"$exists": True}},
                ),
                IndexModel([("buyer_id", ASCENDING), ("status", ASCENDING), ("created_at", DESCENDING)]),
                IndexModel([("status", ASCENDING), ("expires_at", ASCENDING)]),
                IndexModel([("status", ASCENDING), ("updated_at", ASCENDING)]),
            ]
        }
    )

    def __init__(self, db: Database[Document]) -> None:
        self.orders = Aggregates(db.orders)
        self.tickets = Copies(db.tickets)
        self._newest = SharedReads(self._find_newest)

    def get(self, order_id: str) -> Order:
        """Return an order; raise OrderNotFound."""
        found = self.orders.find(order_id)
        if found is None:
            raise OrderNotFound("There is no such order.")
        return _order(found)

    def get_all(self, ids: list[str]) -> list[Order]:
        """Return the orders with these ids that exist."""
        return [_order(found) for found in self.orders.find_all({"_id": {"$in": ids}})]

    def find_newest(self, ticket_id: str) -> Document | None:
        """Return {"id", "status", "buyer_id", "seller_id", "reservation_no"} of a ticket's newest order, or None.

        If any order holds the ticket, it is this one.
        """
        return self._newest(ticket_id)

    def find_held(self, ticket_id: str, buyer_id: str) -> Order | None:
        """Return the order by which this buyer holds the ticket, or None; a ticket has one live order at most."""
        found = self.orders.find_one({"ticket_id": ticket_id, "active": True, "buyer_id": buyer_id})
        return _order(found) if found else None

    def find_live(self, ticket_ids: Collection[str]) -> dict[str, Document]:
        """Return what `find_newest` does for each of these tickets that an order holds, by the ticket's id."""
        where, shown = (
            {"ticket_id": {"$in": list(ticket_ids)}, "active": True},
            dict.fromkeys(("ticket_id", *HOLDING), 1),
        )
        found = map(self.orders.from_stored, self.orders.collection.find(where, shown))
        return {each["ticket_id"]: each for each in found if each}

    def find_keys(self, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of these pairs (buyer_id, idempotency_key) that orders were made with."""
        if not keys:
            return set()
        where = {"$or": [{"buyer_id": buyer_id, "idempotency_key": key} for buyer_id, key in keys]}
        found = self.orders.collection.find(where, {"_id": 0, "buyer_id": 1, "idempotency_key": 1})
        return {(each["buyer_id"], each["idempotency_key"]) for each in found}

    def find_by_key(self, buyer_id: str, idempotency_key: str) -> Order | None:
        """Return the order that this buyer made with this idempotency key, or None."""
        found = self.orders.find_one({"buyer_id": buyer_id, "idempotency_key": idempotency_key})
        return _order(found) if found else None

    def read_terms(
        self, ticket_id: str, buyer_id: str, since: datetime, limit: int
    ) -> tuple[Document | None, list[Document]]:
        """Return our copy of a ticket, or None, and the orders that count towards a buyer's limits, in one round trip.

        These are at most `limit`, in the form that `domain.free_slots` takes: unpaid ones, and those placed after
        `since` that were cancelled unpaid.
        """
        unpaid = {"buyer_id": buyer_id, "status": "created"}
        cancelled = {"buyer_id": buyer_id, "status": "cancelled", "created_at": {"$gt": since}}
        cancelled["cancel_reason"] = {"$in": ["buyer", "expired"]}
        shown = {"_id": 0, "status": 1, "slot": 1, "created_at": 1, "expires_at": 1}
        counted = [{"$match": {"$or": [unpaid, cancelled]}}, {"$limit": limit}, {"$project": shown}]
        holds = {"$unionWith": {"coll": self.orders.collection.name, "pipeline": counted}}
        found = list(self.tickets.collection.aggregate([{"$match": {"_id": ticket_id}}, holds]))
        copy = found.pop(0) if found and "_id" in found[0] else None
        return self.orders.from_stored(copy), found

    def add(self, order: Order, idempotency_key: str | None = None, slot: int | None = None) -> None:
        """Insert a new order with its OrderCreated; raise DuplicateKeyError when it lost a race."""
        optional = {"idempotency_key": idempotency_key, "slot": slot}
        document = {**asdict(order), "ticket_id": order.ticket["id"], "active": True}
        document |= {name: value for name, value in optional.items() if value is not None}
        self.orders.add(document, CATALOGUE["OrderCreated"], order.snapshot())

    def save(self, order: Order, event: str) -> None:
        """Save a changed order with its event. A cancelled one releases its ticket.

        Raises VersionConflict when it, or the newest snapshot of its payment that was applied, has changed since.
        """
        unset = () if order.is_live else ("active",)
        guard = {"payment_version": {"$not": {"$gt": order.payment_version}}}
        self.orders.save(asdict(order), CATALOGUE[event], order.snapshot(), guard, unset)

    def save_cancelled(self, orders: list[Order]) -> int:
        """Save orders that were just cancelled, except those that changed meanwhile; return how many were saved."""
        changed = [(asdict(order), order.snapshot()) for order in orders]
        return self.orders.save_all(changed, CATALOGUE["OrderCancelled"], unset=("active",))

    def list_by_buyer(
        self, buyer_id: str, limit: int, after: Document | None, cancelled: bool | None = None
    ) -> list[Order]:
        """Return at most `limit` of the buyer's orders, newest first, that are older than the position `after`.

        `cancelled`: True for the cancelled ones, False for the others, None for all.
        """
        where: Document = {"buyer_id": buyer_id}
        if cancelled is not None:
            where["status"] = {"$eq" if cancelled else "$ne": "cancelled"}
        if after is not None:
            where["_id"] = {"$lt": after["_id"]}
        return [_order(found) for found in self.orders.find_all(where, sort=[("_id", DESCENDING)], limit=limit)]

    def list_overdue(self, now: datetime, limit: int) -> list[Order]:
        """Return unpaid orders whose deadline has passed: those never asked about first, then the longest not asked."""
        return self._longest_not_asked({"status": "created", "expires_at": {"$lte": now}}, "expires_at", limit)

    def list_awaiting(self, since: datetime, limit: int) -> list[Order]:
        """Return orders whose payment began before `since` and has not ended, in the order of `list_overdue`."""
        return self._longest_not_asked(
            {"status": "awaiting_payment", "updated_at": {"$lte": since}}, "updated_at", limit
        )

    def list_about(self, where: Document, limit: int) -> list[Order]:
        """Return the newest orders of one buyer, or on one ticket, selected by {"buyer_id"} or {"ticket_id"}."""
        return [_order(found) for found in self.orders.find_all(where, sort=[("_id", DESCENDING)], limit=limit)]

    def mark_asked(self, ids: list[str], now: datetime) -> None:
        """Remember that payments had no outcome for these orders, so that others come first next time."""
        if ids:
            self.orders.collection.update_many({"_id": {"$in": ids}}, {"$set": {"asked_at": now}})

    def save_payment_version(self, order: Order) -> None:
        """Remember which snapshot of its payment was applied to an order when that changed nothing else."""
        newest = {"$max": {"payment_version": order.payment_version}}
        self.orders.collection.update_one({"_id": order.id}, newest)

    def _find_newest(self, ticket_id: str) -> Document | None:
        newest_first = [("reservation_no", DESCENDING)]
        return self.orders.from_stored(
            self.orders.collection.find_one({"ticket_id": ticket_id}, HOLDING, sort=newest_first)
        )

    def _longest_not_asked(self, where: Document, then: str, limit: int) -> list[Order]:
        sort = [("asked_at", ASCENDING), (then, ASCENDING)]
        return [_order(found) for found in self.orders.find_all(where, sort=sort, limit=limit)]


def new_id() -> str:
    """Return a fresh id; later ones sort after earlier ones."""
    return str(ObjectId())


def _order(found: Document) -> Order:
    return Order(**{name: found[name] for name in ORDER_FIELDS if name in found})
