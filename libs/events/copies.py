"""Copies of another service's aggregates, kept up to date by its events: the newest version wins, in any order."""

from collections.abc import Iterable
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from libs.database import duplicates_in

Document = dict[str, Any]


class Copies:
    """The copies of one collection."""

    def __init__(self, collection: Collection[Document]) -> None:
        self.collection = collection

    def apply(self, snapshot: Document) -> bool:
        """Store `snapshot` unless our copy is as new or newer; return whether it was stored."""
        where, update = _replacement(snapshot)
        try:
            result = self.collection.update_one(where, update, upsert=True)
        except DuplicateKeyError:  # there is one: as new or newer, or inserted at the same moment
            result = self.collection.update_one(where, update)
        return bool(result.modified_count or result.upserted_id is not None)

    def apply_all(self, snapshots: Iterable[Document]) -> None:
        """Do the same with the newest snapshot of each aggregate, in one command for all."""
        newest: dict[str, Document] = {}
        for snapshot in snapshots:
            if snapshot["id"] not in newest or newest[snapshot["id"]]["version"] < snapshot["version"]:
                newest[snapshot["id"]] = snapshot
        replacements = [_replacement(snapshot) for snapshot in newest.values()]
        try:
            self.collection.bulk_write([UpdateOne(*each, upsert=True) for each in replacements], ordered=False)
        except BulkWriteError as error:
            again = [UpdateOne(*replacements[each["index"]]) for each in duplicates_in(error)]  # see `apply`
            self.collection.bulk_write(again, ordered=False)

    def find(self, ident: str) -> Document | None:
        """Return our copy, or None."""
        stored = self.collection.find_one({"_id": ident})
        if stored is not None:
            stored["id"] = stored.pop("_id")
        return stored


def _replacement(snapshot: Document) -> tuple[Document, Document]:
    """Return the filter that matches an older copy, and the update that replaces it."""
    fields = {name: value for name, value in snapshot.items() if name != "id"}
    return {"_id": snapshot["id"], "version": {"$lt": snapshot["version"]}}, {"$set": fields}
