"""The processes that keep a list of revocations, and how far each of them has got; see libs/revocations.py."""

from typing import Any

from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from libs.revocations import TRUST_SECONDS

LEASE_SECONDS = 2 * TRUST_SECONDS
"""How long to wait for a process that asked: longer than it trusts its list, as the database's clock may be set."""
FORGET_SECONDS = 3600


class Followers:
    """Documents {_id: process, sessions, users, until}: the highest numbers that it has, and until when it counts.

    Only the database's own clock is read, for auth's instances may disagree.
    """

    def __init__(self, collection: Collection[dict[str, Any]]) -> None:
        self._collection = collection
        self._newest = collection.with_options(read_concern=ReadConcern("linearizable"))

    def record_poll(self, process: str, sessions: int, users: int) -> None:
        """Record the numbers up to which a polling process has received revocations.

        Must be written before the list for its answer is read: then a revocation is in that list, or was committed
        after this note, so that this process is waited for.
        """
        until = {"$add": ["$$NOW", round(LEASE_SECONDS * 1000)]}
        update = [{"$set": {"sessions": sessions, "users": users, "until": until}}]
        self._collection.update_one({"_id": process}, update, upsert=True)

    def all_know(self, kind: str, number: int) -> bool:
        """Return whether all processes that asked lately know the revocations of this kind up to `number`."""
        behind = {kind: {"$lt": number}, "$expr": {"$gt": ["$until", "$$NOW"]}}
        return self._newest.find_one(behind) is None
