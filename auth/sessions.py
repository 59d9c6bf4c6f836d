"""The sessions of users, as last reported by the gateway: on which device, from where, when."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from pymongo import ASCENDING, IndexModel, UpdateOne
from pymongo.database import Database

from auth.seals import BrokenSeal, Seals

Document = dict[str, Any]

SESSION_INDEXES = {
    "sessions": [
        IndexModel([("user_id", ASCENDING), ("used_at", ASCENDING)]),
        IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
    ]
}
MOST_LISTED = 100
DETAILS = ("device", "address")
FindEnded = Callable[[Sequence[str]], set[str]]
"""Returns those of these ids whose sessions were ended."""
WHERE = "where a session is used"
"""The purpose for which device and address are sealed, so that reading the database does not disclose them."""


class Sessions:
    """Documents {_id: jti, user_id, generation, started_at, expires_at, used_at, device, address}, kept until expiry.

    `device` (the browser's User-Agent) and `address` are sealed. Which of them have ended is stored only in
    `UserStore`.
    """

    def __init__(self, db: Database[Document]) -> None:
        self._collection = db.sessions

    def note(self, seen: Sequence[Document], seals: Seals) -> None:
        """Store when and where these sessions were last used: {id, user_id, generation, and the fields above}."""
        updates = [UpdateOne({"_id": session["id"]}, _update(session, seals), upsert=True) for session in seen]
        if updates:
            self._collection.bulk_write(updates, ordered=False)

    def list(self, user_id: str, generation: int, now: datetime, seals: Seals, find_ended: FindEnded) -> list[Document]:
        """Return a user's sessions of this generation, the last used first, at most 100.

        Those that were ended are left out, and do not count towards the limit.
        """
        where = {"user_id": user_id, "generation": {"$gte": generation}, "expires_at": {"$gt": now}}
        found = self._collection.find(where, sort=[("used_at", -1)], batch_size=MOST_LISTED)
        going_on: list[Document] = []
        while len(going_on) < MOST_LISTED and (page := [*islice(found, MOST_LISTED)]):
            ended = find_ended([each["_id"] for each in page])
            going_on += [each for each in page if each["_id"] not in ended]
        return [
            {
                "id": each["_id"],
                **{name: _open_sealed(seals, each[name]) for name in DETAILS},
                **{name: each[name] for name in ("started_at", "used_at", "expires_at")},
            }
            for each in going_on[:MOST_LISTED]
        ]

    def find(self, session_id: str, user_id: str) -> Document | None:
        """Return the session with this id, if it is the user's."""
        return self._collection.find_one({"_id": session_id, "user_id": user_id})


def _update(session: Document, seals: Seals) -> Document:
    return {
        "$max": {"used_at": session["used_at"]},
        "$set": {name: seals.seal(WHERE, session[name]) for name in DETAILS},
        "$setOnInsert": {name: session[name] for name in ("user_id", "generation", "started_at", "expires_at")},
    }


def _open_sealed(seals: Seals, sealed: str) -> str:
    """Return the sealed text, or an empty one if its key was removed."""
    try:
        return seals.open(WHERE, sealed)[0]
    except BrokenSeal:
        return ""
