"""The relay: publishes the events in the outboxes, at once after a write and again after any crash.

One round: lease a batch of documents with full outboxes, publish the first event of each in one pipelined batch, then
their second events and so on, remove what the broker confirmed, release the leases. So the events of one aggregate
leave in order, and what is refused, or cannot be published at all, holds up only its own aggregate, which is retried
with backoff. A lease only saves work: should one run out while its holder is paused, two relays publish the same
events, for which listeners are prepared, and each removes only what it published itself. Leases and delays go by the
clock of the database alone.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo import UpdateOne

from libs import context
from libs.alarms import Repeated, alarm, is_alarming
from libs.amqp.publisher import Outgoing, Publisher
from libs.clock import iso, utc_now
from libs.errors import log_failure
from libs.events.aggregates import Aggregates
from libs.metrics import outbox_age_seconds, relay_batch_events

log = logging.getLogger(__name__)

BATCH, EVENTS_OF_EACH = 100, 20
LEASE_SECONDS = 10.0
"""Longer than a publisher waits for confirms; what a killed holder had leased waits for so long."""
POLL_SECONDS = 0.5
GATHER_SECONDS = 0.02
"""The pause after publishing, so that under load many events leave in one batch; the first one never waits."""

BACKOFF_SECONDS = 30
LONGEST_PAUSE_SECONDS = 5
LONGEST_ID = 255
"""Bytes of a message's id: it is a short string of AMQP 0-9-1 (section 4.2.5.3 of its specification)."""

Document = dict[str, Any]


class Relay:
    """Publishes the outboxes of some collections of one database. Run it in a thread, or call `flush` by hand.

    `source`, when given, is the service whose events these are: any other's is refused here, for the broker would close
    the channel and so refuse the whole batch.
    """

    def __init__(
        self,
        publisher: Publisher,
        aggregates: Sequence[Aggregates],
        source: str | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.publisher = publisher
        self.aggregates = aggregates
        self.source = source
        self.lease_seconds = lease_seconds
        self._wake, self._stopped = threading.Event(), threading.Event()

    def wake(self) -> None:
        """Wake the relay, as something waits; returns at once."""
        self._wake.set()

    def run(self) -> None:
        """Publish until `stop` is called; after an error try again every few seconds."""
        failures, troubles = 0, Repeated("relay_stuck")
        while not self._stopped.is_set():
            if failures:  # only a stop cuts this short
                self._stopped.wait(pause_after(failures))
            else:
                self._wake.wait(POLL_SECONDS)
            self._wake.clear()
            try:
                if self.flush():
                    self._wake.set()  # another instance may have changed a document while it was leased to us
                    time.sleep(GATHER_SECONDS)
                failures = 0
                troubles.succeeded()
            except Exception as error:  # noqa: BLE001 - a relay that ended would publish no later event
                failures += 1
                troubles.failed(f"no event can be published: {type(error).__name__}: {error}")
                log_failure(log, error, "the relay will retry")

    def stop(self) -> None:
        """Let `run` return after its round."""
        self._stopped.set()
        self._wake.set()

    def flush(self) -> int:
        """Publish what waits now and is not leased to another relay; return how many events were published."""
        published = 0
        for aggregates in self.aggregates:
            more = True
            while more and not self._stopped.is_set():
                count, more = self._round(aggregates.collection)
                published += count
        return published

    def _round(self, collection: Any) -> tuple[int, bool]:
        """Return how many events were published, and whether more may have waited than one round takes."""
        lease = uuid.uuid4().hex
        claims = [_Claim(document) for document in _claim(collection, lease, self.lease_seconds)]
        if not claims:
            return 0, False
        oldest = min(claim.document["outbox_at"] for claim in claims)
        outbox_age_seconds.labels(collection.name).observe((utc_now() - oldest).total_seconds())
        try:
            for place in range(max(len(claim.outbox) for claim in claims)):
                self._publish([claim for claim in claims if claim.has_next(place)], place)
        finally:  # also when the connection to the broker is lost half-way
            collection.bulk_write([claim.release(lease) for claim in claims], ordered=False)
        published = sum(len(claim.sent) for claim in claims)
        relay_batch_events.labels(collection.name).observe(published)
        return published, len(claims) == BATCH or any(len(claim.sent) == EVENTS_OF_EACH for claim in claims)

    def _publish(self, claims: "list[_Claim]", place: int) -> None:
        """Publish the event at `place` of each of the claims."""
        batch = [(claim, message) for claim in claims if (message := claim.message(place, self.source))]
        failed = self.publisher.publish([message for _, message in batch])
        for claim, message in batch:
            if message.message_id in failed:
                claim.refuse(place, failed[message.message_id])
            else:
                claim.sent.append(message.message_id)


@dataclass
class _Claim:
    """A leased document, what of its outbox was published, and whether an event was refused."""

    document: Document
    sent: list[str] = field(default_factory=list)
    refused: bool = False

    @property
    def outbox(self) -> list[Document]:
        events: list[Document] = self.document["outbox"]
        return events

    def has_next(self, place: int) -> bool:
        return place < len(self.outbox) and not self.refused

    def message(self, place: int, source: str | None) -> Outgoing | None:
        try:
            return _message(self.outbox[place], source)
        except Exception as error:  # noqa: BLE001 - an unknown exchange, or what is no JSON: it must not hold up the others
            self.refuse(place, f"{type(error).__name__}: {error}")
            return None

    def refuse(self, place: int, reason: str) -> None:
        self.refused = True
        event, failures = self.outbox[place].get("id"), self.document["relay"]["attempts"] + 1
        with context.work(self.outbox[place].get("correlation_id")):
            log.error("event %s waits: %s", event, reason)
            if is_alarming(failures):
                alarm("event_unpublished", f"{event} could not be published {failures} times: {reason}")

    def release(self, lease: str) -> UpdateOne:
        """Return the update that removes what was sent and releases the lease, or backs off after a refusal."""
        rest = {"$filter": {"input": "$outbox", "cond": {"$not": [{"$in": ["$$this.id", self.sent]}]}}}
        empty = {"$eq": [{"$size": "$outbox"}, 0]}
        oldest = {"$ifNull": [{"$first": "$outbox.at"}, "$outbox_at"]}
        relay: Any = "$$REMOVE"
        if self.refused:
            attempts = self.document["relay"]["attempts"] + 1
            delay = min(2**attempts, BACKOFF_SECONDS)
            relay = {"until": {"$add": ["$$NOW", delay * 1000]}, "attempts": attempts}
        return UpdateOne(
            {"_id": self.document["_id"], "relay.lease": lease},
            [
                {"$set": {"outbox": rest, "relay": relay}},
                {"$set": {"outbox_at": {"$cond": [empty, "$$REMOVE", oldest]}}},
            ],
        )


def pause_after(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row."""
    return float(min(2 ** min(failures - 1, 10), LONGEST_PAUSE_SECONDS))


def _claim(collection: Any, lease: str, lease_seconds: float) -> list[Document]:
    free = {"$expr": {"$lte": [{"$ifNull": ["$relay.until", 0]}, "$$NOW"]}}
    waiting = {"outbox_at": {"$exists": True}, **free}
    idents = [found["_id"] for found in collection.find(waiting, {"_id": 1}).sort("outbox_at", 1).limit(BATCH)]
    if not idents:
        return []
    until = {"$add": ["$$NOW", round(lease_seconds * 1000)]}
    attempts = {"$ifNull": ["$relay.attempts", 0]}
    taken = {"$set": {"relay": {"lease": lease, "until": until, "attempts": attempts}}}
    collection.update_many({"_id": {"$in": idents}, **waiting}, [taken])
    wanted = {"outbox": {"$slice": EVENTS_OF_EACH}, "outbox_at": 1, "relay": 1}
    return list(collection.find({"_id": {"$in": idents}, "relay.lease": lease}, wanted))


def _message(pending: Document, source: str | None) -> Outgoing:
    exchange = pending.get("exchange") or f"{source}.events"  # entries of earlier versions name none
    if source is not None and exchange != f"{source}.events":
        raise ValueError(f"it is for the exchange {exchange}, to which {source} does not publish")
    if len(pending["id"].encode()) > LONGEST_ID:
        raise ValueError(f"its id has more than {LONGEST_ID} bytes")
    headers = {"version": pending["version"], "nameko.correlation_id": pending["correlation_id"]}
    body = json.dumps(pending["body"], separators=(",", ":"), default=iso).encode()
    return Outgoing(
        exchange,
        pending["name"],
        body,
        headers,
        message_id=pending["id"],
        mandatory=pending.get("mandatory", False),
    )
