"""Doubles for unit tests of stores and services: the same verbs as the real things, and no server.

The same tests hold these and the real ones to their promises: test_aggregates, test_copies and test_publishers.
Queries, guards and indexes are MongoDB's affair: a double knows equality only, and no unique index but the id's.
"""

import copy
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from marshmallow import ValidationError
from pymongo.errors import DuplicateKeyError

from libs.amqp import Outgoing
from libs.events.aggregates import VersionConflict, pending_event
from libs.events.event import Event

Document = dict[str, Any]


class AggregatesInMemory:
    """Stands in for `Aggregates`; `outbox` lists the events saved so far, as {id, name, version, body, ...}."""

    def __init__(self) -> None:
        self.documents: dict[str, Document] = {}
        self.outbox: list[Document] = []
        self.saved: Callable[[], None] = lambda: None

    def find(self, ident: str) -> Document | None:
        """Return a copy of the document `ident`, or None."""
        return copy.deepcopy(self.documents.get(ident))

    def find_one(self, where: Document) -> Document | None:
        """Return the first document whose fields equal those of `where`, or None."""
        return next(iter(self.find_all(where)), None)

    def find_all(self, where: Document) -> list[Document]:
        """Return the documents whose fields equal those of `where`."""
        return [copy.deepcopy(document) for document in self.documents.values() if _matches(document, where)]

    def versions(self, after: str | None, limit: int, *fields: str) -> list[list[Any]]:
        """Return [[id, version, *fields], ...] as the real one does."""
        beyond = [ident for ident in sorted(self.documents) if after is None or ident > after]
        return [[self.documents[ident][name] for name in ("id", "version", *fields)] for ident in beyond[:limit]]

    def add(self, fields: Document, event: Event, body: Document) -> None:
        """Keep a new document and its event; raise DuplicateKeyError when there is one of its id."""
        pending = pending_event(event, body)
        if fields["id"] in self.documents:
            raise DuplicateKeyError(f"there is already a document {fields['id']}")
        self.documents[fields["id"]] = copy.deepcopy(fields)
        self._leave(pending)

    def save(
        self,
        fields: Document,
        event: Event | None,
        body: Document | None = None,
        guard: Document | None = None,
        unset: Iterable[str] = (),
    ) -> None:
        """Save a change and its event; raise VersionConflict as the real one does."""
        pending = pending_event(event, body or {}) if event is not None else None
        stored = self.documents.get(fields["id"])
        if stored is None or not _matches(stored, {"version": fields["version"] - 1, **(guard or {})}):
            raise VersionConflict(f"{fields['id']} has changed since it was read")
        stored.update(copy.deepcopy(fields))
        for name in unset:
            stored.pop(name, None)
        if pending is not None:
            self._leave(pending)

    def save_all(self, changed: Iterable[tuple[Document, Document]], event: Event, unset: Iterable[str] = ()) -> int:
        """Save many changes and their events; return how many were saved, as the real one does."""
        saved = 0
        for fields, body in changed:
            with suppress(VersionConflict, ValidationError):
                self.save(fields, event, body, unset=unset)
                saved += 1
        return saved

    def _leave(self, pending: Document) -> None:
        self.outbox.append(copy.deepcopy(pending))
        self.saved()


class CopiesInMemory:
    """Stands in for `Copies`."""

    def __init__(self, fetch: Callable[[str], Document | None] | None = None) -> None:
        self.documents: dict[str, Document] = {}
        self.fetch = fetch

    def apply(self, snapshot: Document) -> bool:
        """Keep `snapshot` if it is newer than ours, or new; return whether it was."""
        known = self.documents.get(snapshot["id"])
        if known is not None and known["version"] >= snapshot["version"]:
            return False
        self.documents[snapshot["id"]] = {**(known or {}), **copy.deepcopy(snapshot)}
        return True

    def find(self, ident: str) -> Document | None:
        """Return our copy; ask the source when there is none yet."""
        if ident not in self.documents and self.fetch and (snapshot := self.fetch(ident)) is not None:
            self.apply(snapshot)
        return copy.deepcopy(self.documents.get(ident))


class PublisherInMemory:
    """Stands in for `Publisher`: keeps what it is given, and refuses what `refuse` names, as {message_id: reason}."""

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.refuse: dict[str, str] = {}

    def publish(self, batch: Iterable[Outgoing]) -> dict[str, str]:
        """Return those of `batch` that were refused."""
        messages = list(batch)
        self.published += [message for message in messages if message.message_id not in self.refuse]
        return {m.message_id: self.refuse[m.message_id] for m in messages if m.message_id in self.refuse}

    def close(self) -> None:
        """Do nothing."""


def _matches(document: Document, where: Document) -> bool:
    return all(name in document and document[name] == value for name, value in where.items())
