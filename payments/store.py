"""The payments, each with its copy of its order, in MongoDB."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymongo import ASCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from libs.events import EVENTS, Aggregates
from payments.domain import Payment, PaymentNotFound, opened

Document = dict[str, Any]


class PaymentStore:
    """Payments with their outboxes; `work_left` marks those that the reconciler has to visit."""

    def __init__(self, db: Database[Document]) -> None:
        self.payments = Aggregates(db.payments)

    def create_indexes(self) -> None:
        """Index what the reconciler and the webhook look up."""
        collection = self.payments.collection
        collection.create_index(
            [("updated_at", ASCENDING)], partialFilterExpression={"work_left": True}, name="work_left"
        )
        collection.create_index(
            [("stripe_id", ASCENDING)], unique=True, partialFilterExpression={"stripe_id": {"$type": "string"}}
        )

    def get(self, order_id: object) -> Payment:
        """Return the payment of an order; raise PaymentNotFound."""
        found = self.payments.find(order_id) if isinstance(order_id, str) else None
        if found is None:
            raise PaymentNotFound("Nobody has begun to pay this order.")
        return _payment(found)

    def follow(self, order: Document, now: datetime) -> bool:
        """Keep an order's snapshot if it is newer than our copy; return whether it was."""
        where = {"_id": order["id"], "order.version": {"$lt": order["version"]}}
        if self.payments.collection.update_one(where, {"$set": {"order": order, "work_left": True}}).matched_count:
            return True
        try:
            self.payments.collection.insert_one(_document(opened(order, now)))
        except DuplicateKeyError:  # ours is as new or newer
            return False
        return True

    def save(self, payment: Payment, event: str = "") -> None:
        """Save a changed payment, with its event if it has one.

        Raises VersionConflict when the payment, or the copy of its order, is not what it was when it was read.
        """
        fields = {**asdict(payment), "work_left": payment.has_work_left}
        copy = fields.pop("order")
        guard = {"order.version": copy["version"]}
        known, body = (EVENTS[event], payment.public()) if event else (None, None)
        self.payments.save(fields, known, body, guard=guard)

    def rest(self, payment: Payment) -> None:
        """Take a payment off the reconciler's list when nothing is left to do, unless something came in meanwhile."""
        where = {"_id": payment.id, "version": payment.version, "order.version": payment.order["version"]}
        self.payments.collection.update_one(where, {"$set": {"work_left": payment.has_work_left}})

    def list_unfinished(self, confirming_before: datetime, others_before: datetime, limit: int) -> list[Payment]:
        """Return payments with work left that nobody has touched lately; those being confirmed sooner than others."""
        urgent = {
            "$or": [{"confirming_at": {"$ne": None}}, {"capture_tries": {"$gt": 0}}],
            "updated_at": {"$lte": confirming_before},
        }
        where = {"work_left": True, "$or": [urgent, {"updated_at": {"$lte": others_before}}]}
        return [
            _payment(found) for found in self.payments.find_all(where, sort=[("updated_at", ASCENDING)], limit=limit)
        ]


def _document(payment: Payment) -> Document:
    fields = asdict(payment)
    return {"_id": fields.pop("id"), **fields, "work_left": payment.has_work_left}


def _payment(found: Document) -> Payment:
    return Payment(**{name: value for name, value in found.items() if name != "work_left"})
