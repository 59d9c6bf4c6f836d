"""A relay's claim on one outbox, and the commands that lease and clear outboxes."""

import json
import logging
import uuid
from dataclasses import dataclass, field
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

from libs import context, tracing
from libs.alarms import alarm, is_alarming
from libs.amqp.publisher import Outgoing
from libs.clock import iso
from libs.database import is_due
from libs.events.topology import SAVED_AT

log = logging.getLogger(__name__)

Document = dict[str, Any]

BATCH, EVENTS_OF_EACH = 100, 20
BACKOFF_SECONDS = 30
"""The longest delay after a refusal; leases are shorter."""
LONGEST_ID = 255
"""Bytes of a message's id: it is a short string of AMQP 0-9-1 (section 4.2.5.3 of its specification)."""
RELAXED = WriteConcern(w=1, j=False)
"""For leases and cleared outboxes: if a crash or an election undoes one, its events are merely published again."""


@dataclass(eq=False)
class Claim:
    """An aggregate's events to publish, oldest first; which of them were sent, and whether one was refused.

    `lease` is that of the document; None for events that this process has just saved, which no other relay looks for.
    """

    ident: str
    outbox: list[Document]
    lease: str | None = None
    attempts: int = 0
    sent: list[str] = field(default_factory=list)
    refused: bool = False

    @property
    def has_next(self) -> bool:
        """Whether an event is left that may be published now."""
        return len(self.sent) < len(self.outbox) and not self.refused

    def message(self, source: str | None) -> Outgoing | None:
        """Return the next event as a message; refuse it and return None if it can never be one."""
        try:
            return _message(self.outbox[len(self.sent)], source)
        except Exception as error:  # noqa: BLE001 - an unknown exchange, or what is no JSON: it must not hold up the others
            self.refuse(f"{type(error).__name__}: {error}")
            return None

    def refuse(self, reason: str) -> None:
        """Note that the next event cannot be published now; nothing behind it is published before it."""
        self.refused = True
        event, failures = self.outbox[len(self.sent)], self.attempts + 1
        with context.work(event.get("correlation_id")):
            log.error("event %s waits: %s", event.get("id"), reason)
            if is_alarming(failures):
                alarm("event_unpublished", f"{event.get('id')} could not be published {failures} times: {reason}")

    def clear(self) -> UpdateOne:
        """Return the update that empties the outbox if nothing else is in it; it matches no document otherwise."""
        last = len(self.sent) - 1
        exactly = {"_id": self.ident, "outbox": {"$size": last + 1}, f"outbox.{last}.id": self.sent[last]}
        return UpdateOne(exactly, {"$set": {"outbox": []}, "$unset": {"outbox_at": ""}})

    def release(self) -> UpdateOne:
        """Return the update that removes what was sent and releases the lease, or backs off after a refusal."""
        rest = {"$filter": {"input": "$outbox", "cond": {"$not": [{"$in": ["$$this.id", self.sent]}]}}}
        empty = {"$eq": [{"$size": "$outbox"}, 0]}
        oldest = {"$ifNull": [{"$first": "$outbox.at"}, "$outbox_at"]}
        relay: Any = "$$REMOVE" if self.lease else "$relay"
        if self.refused:
            attempts = self.attempts + 1
            delay = min(2**attempts, BACKOFF_SECONDS)
            relay = {"until": {"$add": ["$$NOW", delay * 1000]}, "attempts": attempts}
        return UpdateOne(
            {"_id": self.ident, **({"relay.lease": self.lease} if self.lease else {})},
            [
                {"$set": {"outbox": rest, "relay": relay}},
                {"$set": {"outbox_at": {"$cond": [empty, "$$REMOVE", oldest]}}},
            ],
        )


def newest(collection: Collection[Document]) -> Any:
    """Return the newest `outbox_at`, None when all outboxes are empty."""
    found = collection.find_one({"outbox_at": {"$exists": True}}, {"outbox_at": 1}, sort=[("outbox_at", -1)])
    return found and found["outbox_at"]


def lease(collection: Collection[Document], seconds: float, where: Document) -> tuple[list[Claim], Any]:
    """Lease at most BATCH matching documents with unpublished events; return the claims and the oldest `outbox_at`."""
    free = is_due("relay.until", BACKOFF_SECONDS)
    waiting = {"$and": [{"outbox_at": {"$exists": True}}, where, free]}
    idents = [found["_id"] for found in collection.find(waiting, {"_id": 1}).sort("outbox_at", 1).limit(BATCH)]
    if not idents:
        return [], None
    name = uuid.uuid4().hex
    until = {"$add": ["$$NOW", round(seconds * 1000)]}
    attempts = {"$ifNull": ["$relay.attempts", 0]}
    taken = {"$set": {"relay": {"lease": name, "until": until, "attempts": attempts}}}
    with_relaxed_writes(collection).update_many({"_id": {"$in": idents}, **waiting}, [taken])
    wanted = {"outbox": {"$slice": EVENTS_OF_EACH}, "outbox_at": 1, "relay": 1}
    leased = list(collection.find({"_id": {"$in": idents}, "relay.lease": name}, wanted))
    claims = [Claim(found["_id"], found["outbox"], name, found["relay"]["attempts"]) for found in leased]
    return claims, min((found["outbox_at"] for found in leased), default=None)


def with_relaxed_writes(collection: Collection[Document]) -> Collection[Document]:
    """Return the collection with a relaxed write concern, for writes that may be lost."""
    return collection.with_options(write_concern=RELAXED)


def _message(pending: Document, source: str | None) -> Outgoing:
    exchange = pending.get("exchange") or f"{source}.events"  # entries of earlier versions name none
    if source is not None and exchange != f"{source}.events":
        raise ValueError(f"it is for the exchange {exchange}, to which {source} does not publish")
    if len(pending["id"].encode()) > LONGEST_ID:
        raise ValueError(f"its id has more than {LONGEST_ID} bytes")
    headers = {"version": pending["version"], "nameko.correlation_id": pending["correlation_id"]}
    headers[SAVED_AT] = round(pending["at"].timestamp() * 1000)
    if parent := pending.get(tracing.HEADER):
        about = tracing.messaging_attributes("send", f"{exchange}:{pending['name']}", pending["id"])
        headers[tracing.HEADER] = tracing.record_send(parent, pending["at"], f"send {pending['name']}", about) or parent
    body = json.dumps(pending["body"], separators=(",", ":"), default=iso).encode()
    return Outgoing(
        exchange,
        pending["name"],
        body,
        headers,
        message_id=pending["id"],
        mandatory=pending.get("mandatory", False),
    )
