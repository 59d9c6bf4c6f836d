"""The deadlines, in MongoDB: the record from which the jobs in Redis can always be restored."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pymongo import ASCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from expiration.domain import Deadline
from libs.contracts.events import CATALOGUE
from libs.events import Aggregates

Document = dict[str, Any]


class DeadlineStore:
    """Deadlines with their outboxes."""

    def __init__(self, db: Database[Document]) -> None:
        self.deadlines = Aggregates(db.deadlines)

    def create_indexes(self) -> None:
        """Index the open deadlines by their time."""
        self.deadlines.collection.create_index([("state", ASCENDING), ("expires_at", ASCENDING)])

    def find(self, order_id: str) -> Deadline | None:
        """Return the deadline of an order, or None."""
        found = self.deadlines.find(order_id)
        return Deadline(**found) if found else None

    def add(self, deadline: Deadline) -> bool:
        """Insert a new deadline; return False when its order has one already."""
        fields = asdict(deadline)
        try:
            self.deadlines.collection.insert_one({"_id": fields.pop("id"), **fields})
        except DuplicateKeyError:
            return False
        return True

    def save(self, deadline: Deadline) -> None:
        """Save a changed deadline; raise VersionConflict."""
        self.deadlines.save(asdict(deadline), None)

    def save_fired(self, deadline: Deadline) -> None:
        """Save a deadline that fired together with its ExpirationComplete; raise VersionConflict."""
        self.deadlines.save(asdict(deadline), CATALOGUE["ExpirationComplete"], deadline.snapshot())

    def list_open(self, before: datetime, limit: int) -> list[Deadline]:
        """Return the open deadlines before a moment, the earliest first."""
        where = {"state": "open", "expires_at": {"$lte": before}}
        found = self.deadlines.find_all(where, sort=[("expires_at", ASCENDING)], limit=limit)
        return [Deadline(**deadline) for deadline in found]
