"""The relay: takes events out of the outboxes and publishes them, at once after a write and again after any crash.

One round: lease a batch of documents with full outboxes, publish their events in one pipelined batch, take out what the
broker confirmed, give the leases back. A lease only saves work: should one run out while its holder is paused, two
relays publish the same events, which listeners do not mind, and each takes out only what it published itself. What was
refused waits, alone, with growing delays. Leases and delays are told by the database's clock alone.
"""

import json
import logging
import threading
import uuid
from collections.abc import Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import PyMongoError

from libs.amqp.publisher import BrokerUnavailable, Outgoing, Publisher
from libs.events.aggregates import Aggregates
from libs.events.catalogue import EVENTS

log = logging.getLogger(__name__)

BATCH = 100
LEASE_SECONDS = 30
POLL_SECONDS = 0.5
BACKOFF_SECONDS = 30

Document = dict[str, Any]


class Relay:
    """Publishes the outboxes of some collections of one database. Run it in a thread, or call `flush` by hand."""

    def __init__(self, publisher: Publisher, aggregates: Sequence[Aggregates]) -> None:
        self.publisher = publisher
        self.aggregates = aggregates
        self._wake = threading.Event()
        self._stopped = False

    def wake(self) -> None:
        """Tell the relay that something waits; returns at once."""
        self._wake.set()

    def run(self) -> None:
        """Publish until `stop` is called; a broker or database that is away is tried again every few seconds."""
        failures = 0
        while not self._stopped:
            self._wake.wait(POLL_SECONDS if not failures else min(0.5 * 2**failures, 5.0))
            self._wake.clear()
            try:
                self.flush()
                failures = 0
            except (BrokerUnavailable, PyMongoError) as error:
                failures += 1
                log.warning("the relay tries again later: %s: %s", type(error).__name__, error)

    def stop(self) -> None:
        """Let `run` return after its round."""
        self._stopped = True
        self._wake.set()

    def flush(self) -> int:
        """Publish what waits now and is not leased to another relay; return how many events were published."""
        published = 0
        for aggregates in self.aggregates:
            while count := self._round(aggregates.collection):
                published += count
        return published

    def _round(self, collection: Any) -> int:
        lease = uuid.uuid4().hex
        documents = _claim(collection, lease)
        if not documents:
            return 0
        try:
            failed = self.publisher.publish(
                [_message(pending) for document in documents for pending in document["outbox"]]
            )
        except BrokerUnavailable:
            taken = {"_id": {"$in": [document["_id"] for document in documents]}, "relay.lease": lease}
            collection.update_many(taken, {"$unset": {"relay": ""}})
            raise
        collection.bulk_write([_done(document, lease, failed) for document in documents], ordered=False)
        for ident, reason in failed.items():
            log.error("event %s was not accepted: %s", ident, reason)
        return sum(len(document["outbox"]) for document in documents) - len(failed)


def _claim(collection: Any, lease: str) -> list[Document]:
    free = {"$expr": {"$lte": [{"$ifNull": ["$relay.until", 0]}, "$$NOW"]}}
    waiting = {"outbox_at": {"$exists": True}, **free}
    idents = [found["_id"] for found in collection.find(waiting, {"_id": 1}).sort("outbox_at", 1).limit(BATCH)]
    if not idents:
        return []
    until = {"$add": ["$$NOW", LEASE_SECONDS * 1000]}
    attempts = {"$ifNull": ["$relay.attempts", 0]}
    taken = {"$set": {"relay": {"lease": lease, "until": until, "attempts": attempts}}}
    collection.update_many({"_id": {"$in": idents}, **waiting}, [taken])
    return list(collection.find({"_id": {"$in": idents}, "relay.lease": lease}, {"outbox": 1, "relay": 1}))


def _message(pending: Document) -> Outgoing:
    event = EVENTS[pending["name"]]
    headers = {"version": pending["version"], "nameko.correlation_id": pending["correlation_id"]}
    body = json.dumps(pending["body"], separators=(",", ":")).encode()
    return Outgoing(
        event.exchange, event.name, body, headers, message_id=pending["id"], mandatory=bool(event.listeners)
    )


def _done(document: Document, lease: str, failed: dict[str, str]) -> UpdateOne:
    """Take out what was sent, up to the first event that was not: order within one aggregate is kept."""
    sent = []
    for pending in document["outbox"]:
        if pending["id"] in failed:
            break
        sent.append(pending["id"])
    rest = {"$filter": {"input": "$outbox", "cond": {"$not": [{"$in": ["$$this.id", sent]}]}}}
    empty = {"$eq": [{"$size": "$outbox"}, 0]}
    relay: Any = "$$REMOVE"
    if len(sent) < len(document["outbox"]):
        attempts = document["relay"]["attempts"] + 1
        delay = min(2**attempts, BACKOFF_SECONDS)
        relay = {"until": {"$add": ["$$NOW", delay * 1000]}, "attempts": attempts}
    return UpdateOne(
        {"_id": document["_id"], "relay.lease": lease},
        [
            {"$set": {"outbox": rest, "relay": relay}},
            {"$set": {"outbox_at": {"$cond": [empty, "$$REMOVE", "$outbox_at"]}}},
        ],
    )
