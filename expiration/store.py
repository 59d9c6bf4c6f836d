"""The deadlines, in MongoDB: the record from which the jobs in Redis can always be restored."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from libs.hidden import hidden

with hidden("pymongo.pyopenssl_context"):  # it would load pyOpenSSL, 2 MB, and fail then without service_identity
    from pymongo import ASCENDING, IndexModel
    from pymongo.database import Database
    from pymongo.errors import BulkWriteError

from expiration.domain import Deadline
from libs.contracts.events import CATALOGUE
from libs.database import duplicates_in
from libs.events import OUTBOX_INDEX, Aggregates, Schema

Document = dict[str, Any]

DEADLINE_FIELDS = [field.name for field in fields(Deadline)]


class DeadlineStore:
    """Deadlines with their outboxes."""

    schema = Schema({"deadlines": [OUTBOX_INDEX, IndexModel([("state", ASCENDING), ("expires_at", ASCENDING)])]})

    def __init__(self, db: Database[Document]) -> None:
        self.deadlines = Aggregates(db.deadlines)

    def find(self, order_id: str) -> Deadline | None:
        """Return the deadline of an order, or None."""
        found = self.deadlines.find(order_id)
        return _deadline(found) if found else None

    def add(self, deadline: Deadline) -> bool:
        """Insert a new deadline; return False when its order has one already."""
        return not self.add_all([deadline])

    def add_all(self, deadlines: Sequence[Deadline]) -> set[str]:
        """Insert new deadlines; return the ids of those whose orders have one already."""
        documents = [{"_id": fields.pop("id"), **fields} for fields in map(asdict, deadlines)]
        try:
            self.deadlines.collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return {documents[each["index"]]["_id"] for each in duplicates_in(error)}
        return set()

    def end(self, order: Document) -> bool | None:
        """End the deadline of an order that is no longer unpaid, if the order's snapshot is newer than ours.

        Returns whether it had ended already; None if there is no deadline, or none that is older.
        """
        before = self.deadlines.collection.find_one_and_update(
            {"_id": order["id"], "order_version": {"$lt": order["version"]}},
            {
                "$set": {"order_version": order["version"], "expires_at": order["expires_at"], "state": "ended"},
                "$inc": {"version": 1},
            },
            {"state": 1},
        )
        return None if before is None else before["state"] == "ended"

    def save(self, deadline: Deadline) -> None:
        """Save a changed deadline; raise VersionConflict."""
        self.deadlines.save(asdict(deadline), None)

    def save_fired(self, deadline: Deadline) -> None:
        """Save a deadline that fired together with its ExpirationComplete; raise VersionConflict."""
        self.deadlines.save(asdict(deadline), CATALOGUE["ExpirationComplete"], deadline.snapshot())

    def count_open(self) -> int:
        """Return how many deadlines are open."""
        return self.deadlines.collection.count_documents({"state": "open"})

    def list_open(self, before: datetime, limit: int) -> list[Deadline]:
        """Return the open deadlines before a moment, the earliest first."""
        where = {"state": "open", "expires_at": {"$lte": before}}
        found = self.deadlines.find_all(where, sort=[("expires_at", ASCENDING)], limit=limit)
        return [_deadline(each) for each in found]


def _deadline(found: Document) -> Deadline:
    return Deadline(**{name: found[name] for name in DEADLINE_FIELDS})
