"""Copies of another service's aggregates, kept up to date by its events: the newest version wins, in any order."""

from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

Document = dict[str, Any]


class Copies:
    """The copies of one collection."""

    def __init__(self, collection: Collection[Document]) -> None:
        self.collection = collection

    def apply(self, snapshot: Document) -> bool:
        """Keep `snapshot` if it is newer than ours, or new; return whether it was."""
        fields = {name: value for name, value in snapshot.items() if name != "id"}
        where = {"_id": snapshot["id"], "version": {"$lt": snapshot["version"]}}
        try:
            result = self.collection.update_one(where, {"$set": fields}, upsert=True)
        except DuplicateKeyError:  # there is one: as new or newer, or inserted at the same moment
            result = self.collection.update_one(where, {"$set": fields})
        return bool(result.modified_count or result.upserted_id is not None)

    def find(self, ident: str) -> Document | None:
        """Return our copy, or None."""
        stored = self.collection.find_one({"_id": ident})
        if stored is not None:
            stored["id"] = stored.pop("_id")
        return stored
