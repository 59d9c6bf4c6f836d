"""Copies of a neighbour's aggregates, kept by its events: the newest version wins, whatever order they come in."""

from collections.abc import Callable
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

Document = dict[str, Any]


class Copies:
    """The copies of one collection. `fetch(id)`, when given, asks the source for a missing one; it may return None."""

    def __init__(self, collection: Collection[Document], fetch: Callable[[str], Document | None] | None = None) -> None:
        self.collection = collection
        self.fetch = fetch

    def apply(self, snapshot: Document) -> bool:
        """Keep `snapshot` if it is newer than ours, or new; return whether it was."""
        fields = {name: value for name, value in snapshot.items() if name != "id"}
        where = {"_id": snapshot["id"], "version": {"$lt": snapshot["version"]}}
        try:
            result = self.collection.update_one(where, {"$set": fields}, upsert=True)
        except DuplicateKeyError:  # there is one by now: as new or newer, or a first one that came at the same moment
            result = self.collection.update_one(where, {"$set": fields})
        return bool(result.modified_count or result.upserted_id is not None)

    def find(self, ident: str) -> Document | None:
        """Return our copy; ask the source when there is none yet; None when the source knows none either."""
        stored = self.collection.find_one({"_id": ident})
        if stored is None and self.fetch and (snapshot := self.fetch(ident)) is not None:
            self.apply(snapshot)
            stored = self.collection.find_one({"_id": ident})  # an event may have brought a newer one meanwhile
        if stored is not None:
            stored["id"] = stored.pop("_id")
        return stored
