"""Aggregates: documents that carry their own outbox, so that a change and its event are one write.

In addition to its own fields a stored aggregate has `outbox` (unpublished events, oldest first, for the relay),
`outbox_at` (since when; absent while the outbox is empty), `relay` (the lease of the relay that is publishing them) and
`changed_at` (when it was last changed with an event, by the clock of the database). Nothing may ever replace a whole
document: that would lose events.
"""

import json
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from bson import Timestamp
from marshmallow import ValidationError
from pymongo import ASCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.collection import Collection

from libs import tracing
from libs.clock import iso, utc_now
from libs.context import correlation_id
from libs.database import for_stale_reads
from libs.errors import Conflict
from libs.events.event import Event
from libs.metrics import events_saved

log = logging.getLogger(__name__)

Document = dict[str, Any]
Result = TypeVar("Result")

OUTBOX_FIELDS = {"outbox": 0, "outbox_at": 0, "relay": 0, "changed_at": 0}
OUTBOX_INDEX = IndexModel(
    [("outbox_at", ASCENDING)], partialFilterExpression={"outbox_at": {"$exists": True}}, name="outbox"
)
"""The index by which the relay finds outboxes that are not empty: each collection of aggregates needs it."""
CHANGES_INDEX = IndexModel([("changed_at", ASCENDING)], sparse=True, name="changes")
"""The index for `Aggregates.changes`."""
LAG_SECONDS = 10
"""How old a change is before `Aggregates.changes` returns it: no write takes longer to become visible."""
COUNTED = 1000
READ_AT_ONCE = 200
"""The documents in one answer of the database: to decode thousands would hold up everything else in the process."""
SERVER_TIME = {"$type": "timestamp"}
EMPTY = {"outbox_at": None}
"""The filter for aggregates whose outbox is empty."""
TRIES = 5
"""How often to read and decide when others save the same aggregate at the same moment."""


class VersionConflict(Conflict):
    """The document was saved by somebody else since it was read (optimistic concurrency): read it and decide again."""


def retry_on_conflict(act: Callable[[], Result]) -> Result:
    """Return what `act` returns, which reads, decides and saves; repeat it when it raises VersionConflict."""
    for _ in range(TRIES - 1):
        with suppress(VersionConflict):
            return act()
    return act()


class Aggregates:
    """The aggregates of one collection. A document here has `id` (kept as `_id`) and `version` among its fields.

    `saved(id, event, is_alone)`, if set, is called after each write that added an event, so that the relay publishes
    it; `is_alone`: the outbox holds no other.
    """

    def __init__(self, collection: Collection[Document]) -> None:
        self.collection = collection
        self.saved: Callable[[str, Document, bool], None] = lambda ident, event, is_alone: None

    def find(self, ident: str) -> Document | None:
        """Return the document `ident` without its outbox, or None."""
        return self.from_stored(self.collection.find_one({"_id": ident}, OUTBOX_FIELDS))

    def find_one(self, where: Document, **options: Any) -> Document | None:
        """Return the first document that matches, without its outbox, or None."""
        return self.from_stored(self.collection.find_one(where, OUTBOX_FIELDS, **options))

    def find_all(self, where: Document, **options: Any) -> list[Document]:
        """Return the documents that match, without their outboxes; `sort` and `limit` are pymongo's."""
        return [
            document
            for found in self.collection.find(where, OUTBOX_FIELDS, batch_size=READ_AT_ONCE, **options)
            if (document := self.from_stored(found))
        ]

    def versions(self, after: str | None, limit: int, *fields: str) -> list[list[Any]]:
        """Return [[id, version, *fields], ...] of at most `limit` documents in order of their ids, beyond `after`.

        Fields that a document lacks are None. The read may be stale: an older version repairs no copy, and what is
        missing is found the next time.
        """
        where: Document = {} if after is None else {"_id": {"$gt": after}}
        names = ("_id", "version", *fields)
        found = (
            for_stale_reads(self.collection).find(where, dict.fromkeys(names, 1)).sort("_id", ASCENDING).limit(limit)
        )
        return [[document.get(name) for name in names] for document in found]

    def changes(self, after: Sequence[int] | None, limit: int, *fields: str) -> Document:
        """Return what changed beyond a position, as {"page": [[id, version, *fields], ...], "next", "is_last"}.

        `after` is None or the `next` of an earlier call. A page has at most `limit` of them, oldest change first, and
        more only if several changed at the same moment. Changes of the last LAG_SECONDS are left to later calls, since
        an earlier one may still become visible.
        """
        now: Timestamp = self.collection.database.command("ping")["operationTime"]
        until = Timestamp(now.time - LAG_SECONDS, now.inc)
        begin, names = Timestamp(*(after or (0, 0))), ("_id", "version", *fields)
        wanted = dict.fromkeys((*names, "changed_at"), 1)
        where = {"changed_at": {"$gt": begin, "$lte": until}}
        found = list(self.collection.find(where, wanted).sort("changed_at", ASCENDING).limit(limit))
        is_last = len(found) < limit
        if not is_last:
            until = found[-1]["changed_at"]
            at_once = self.collection.find({"changed_at": until}, wanted)
            found = [*(each for each in found if each["changed_at"] < until), *at_once]
        page = [[document.get(name) for name in names] for document in found]
        return {"page": page, "next": [max(begin, until).time, max(begin, until).inc], "is_last": is_last}

    def add(self, fields: Document, event: Event, body: Document) -> None:
        """Insert a new aggregate together with the event that announces it.

        Raises ValidationError when `body` does not fit the event's schema, and pymongo's DuplicateKeyError.
        """
        pending = pending_event(event, body)
        document = {**fields, "_id": fields["id"], "outbox": [pending], "outbox_at": pending["at"]}
        document["changed_at"] = Timestamp(0, 0)  # MongoDB inserts its own time in its place
        del document["id"]
        self.collection.insert_one(document)
        self._saved(document["_id"], pending, True)

    def save(
        self,
        fields: Document,
        event: Event | None,
        body: Document | None = None,
        guard: Document | None = None,
        unset: Iterable[str] = (),
    ) -> None:
        """Save a changed aggregate, its version raised by one since it was read, with the event that announces it.

        `guard` adds conditions that the stored document must still meet; `unset` names fields to remove. Raises
        VersionConflict when it was saved since it was read, or does not meet the guard.
        """
        where, update = _change(fields, event, body, unset)
        where |= guard or {}
        if event is None:
            waiting = int(self._update(where, update))
        else:
            waiting = int(self._update({**where, **EMPTY}, update)) or self._push(where, update)
        if not waiting:
            raise VersionConflict(f"{self.collection.name} {fields['id']} has changed since it was read")
        if event is not None:
            self._saved(fields["id"], update["$push"]["outbox"], waiting == 1)

    def save_all(self, changed: Iterable[tuple[Document, Document]], event: Event, unset: Iterable[str] = ()) -> int:
        """Save many changed aggregates, as (fields, body), in one round trip; return how many were saved.

        Each is saved as by `save`, but one that was saved since it was read is skipped.
        """
        changes, call = [], {"call": uuid.uuid4().hex}
        for fields, body in changed:
            try:
                where, update = _change(fields, event, body, unset)
                update["$push"]["outbox"] |= call
                changes.append((where, update))
            except ValidationError:  # an invalid one must not hold up the others
                log.exception("%s %s cannot be saved", self.collection.name, fields["id"])
        saved = self._update_all([({**where, **EMPTY}, update) for where, update in changes])
        if saved == len(changes):
            outboxes = {where["_id"]: [call] for where, _ in changes}
        else:  # some have changed, or have something in their outboxes
            saved += self._update_all(changes)
            found = self.collection.find({"_id": {"$in": [where["_id"] for where, _ in changes]}}, {"outbox.call": 1})
            outboxes = {each["_id"]: each.get("outbox", []) for each in found}
        for where, update in changes:
            if call in (waiting := outboxes.get(where["_id"], [])):
                self._saved(where["_id"], update["$push"]["outbox"], len(waiting) == 1)
        return saved

    def count_waiting(self) -> int:
        """Return how many documents have unpublished events, at most 1000."""
        return self.collection.count_documents({"outbox_at": {"$exists": True}}, limit=COUNTED)

    def waiting_seconds(self) -> float:
        """Return for how long the oldest unpublished event has waited, 0 without any."""
        oldest = self.collection.find_one({"outbox_at": {"$exists": True}}, {"outbox_at": 1}, sort=[("outbox_at", 1)])
        return (utc_now() - oldest["outbox_at"]).total_seconds() if oldest else 0.0

    def outbox_of(self, ident: str) -> list[Document]:
        """Return the unpublished events of one document, oldest first."""
        found = self.collection.find_one({"_id": ident}, {"outbox": 1})
        return (found or {}).get("outbox", [])

    def _saved(self, ident: str, pending: Document, is_alone: bool) -> None:
        events_saved.labels(pending["name"]).inc()
        self.saved(ident, pending, is_alone)

    def _update_all(self, changes: list[tuple[Document, Document]]) -> int:
        updates = [UpdateOne(*change) for change in changes]
        return self.collection.bulk_write(updates, ordered=False).matched_count if updates else 0

    def _update(self, where: Document, update: Document) -> bool:
        return self.collection.update_one(where, update).matched_count > 0

    def _push(self, where: Document, update: Document) -> int:
        """Return how many events the outbox has after the update; 0 if no document matched."""
        found = self.collection.find_one_and_update(
            where, update, {"outbox.id": True}, return_document=ReturnDocument.AFTER
        )
        return len(found["outbox"]) if found else 0

    @staticmethod
    def from_stored(document: Document | None) -> Document | None:
        """Return a stored document with `_id` renamed to `id`."""
        if document is not None:
            document["id"] = document.pop("_id")
        return document


def aggregates_of(store: object) -> list[Aggregates]:
    """Return the aggregates among a store's attributes."""
    return [each for each in vars(store).values() if isinstance(each, Aggregates)]


def _change(
    fields: Document, event: Event | None, body: Document | None, unset: Iterable[str]
) -> tuple[Document, Document]:
    """Return the filter that finds the aggregate as it was read, and the update that changes it and adds an event."""
    update: Document = {"$set": {name: value for name, value in fields.items() if name != "id"}}
    if event is not None:
        pending = pending_event(event, body or {})
        update["$push"] = {"outbox": pending}
        update["$min"] = {"outbox_at": pending["at"]}
        update["$currentDate"] = {"changed_at": SERVER_TIME}
    if unset:
        update["$unset"] = dict.fromkeys(unset, "")
    return {"_id": fields["id"], "version": fields["version"] - 1}, update


def pending_event(event: Event, body: Document) -> Document:
    """Return an event as it waits in an outbox.

    Raises ValidationError when `body` does not fit the event's schema, and TypeError when it cannot be JSON.
    """
    event.load(body)
    json.dumps(body, default=iso)
    traced = {tracing.HEADER: traceparent} if (traceparent := tracing.traceparent()) else {}
    return traced | {
        "id": f"{event.name}:{body['id']}:{body['version']}",
        "name": event.name,
        "exchange": event.exchange,
        "mandatory": bool(event.listeners),
        "version": body["version"],
        "at": utc_now(),
        "correlation_id": correlation_id(),
        "body": body,
    }
