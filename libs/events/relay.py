"""The relay: publishes the events in the outboxes, at once after a write and again after any crash.

What this process has just saved is published from memory, without a query, and soon after many outboxes are cleared by
one command (`libs.events.fast_path`). Events that a crash left, or that could not be published, are found by a poll: an
outbox that was not empty at the poll before either is leased, published, and released without what was confirmed.

The next events of a hundred aggregates are published in one pipelined batch, so that a rush holds up nothing else in
this process for long. So the events of one aggregate are published in order, and one that is refused, or cannot be
published at all, holds up only its own aggregate, which is retried with backoff. A lease only saves work: if one runs
out while its holder is paused, or an outbox is cleared late, two relays publish the same events, which listeners
tolerate, and each removes only what it published itself. Leases and delays use the clock of the database only.
"""

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from libs.alarms import FailureStreak
from libs.amqp.publisher import Publisher
from libs.clock import utc_now
from libs.errors import log_failure
from libs.events import topology
from libs.events.aggregates import Aggregates, aggregates_of
from libs.events.catalogue import Catalogue
from libs.events.claims import BATCH, EVENTS_OF_EACH, Claim, Document, lease, newest, with_relaxed_writes
from libs.events.fast_path import FastPath
from libs.metrics import outbox_age_seconds, relay_batch_events

log = logging.getLogger(__name__)

LEASE_SECONDS = 10.0
"""Longer than a publisher waits for confirms; events that a killed process had leased wait this long."""
POLL_SECONDS = 2.0
CLEAR_SECONDS = 0.02
"""How long an event that was published from memory stays in its outbox, so that one command clears many."""

LONGEST_PAUSE_SECONDS = 5


class Relay:
    """Publishes the outboxes of some collections of one database. Run it in a thread, or call `flush` by hand.

    `source`, when given, is the service whose events these are: an event of any other is refused here, since the broker
    would close the channel over it and so refuse the whole batch.
    """

    def __init__(
        self,
        publisher: Publisher,
        aggregates: Sequence[Aggregates],
        source: str | None = None,
        lease_seconds: float = LEASE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.publisher = publisher
        self.aggregates = aggregates
        self.source = source
        self.lease_seconds = lease_seconds
        self.poll_seconds = poll_seconds
        self._fast_paths = {each: FastPath() for each in aggregates}
        self._full_until: dict[Aggregates, Any] = {}
        self._poll_at = self._clear_at = 0.0
        self._wake, self._stopped = threading.Event(), threading.Event()

    def attach(self) -> None:
        """From now on hand the event of each write of the aggregates to this relay; the write does not wait for it."""
        for aggregates in self.aggregates:
            aggregates.saved = partial(self._saved, self._fast_paths[aggregates])

    def run(self) -> None:
        """Publish until `stop` is called; after an error, retry with backoff."""
        failures, is_last, streak = 0, False, FailureStreak("relay_stuck")
        while not is_last:
            if failures:  # only a stop cuts this short
                self._stopped.wait(pause_after(failures))
            else:
                self._wake.wait(max(min(self._clear_at, self._poll_at) - time.monotonic(), 0.0))
            is_last = self._stopped.is_set()
            self._wake.clear()
            try:
                self.work()
                failures = 0
                streak.succeeded()
            except Exception as error:  # noqa: BLE001 - a relay that ended would publish no later event
                failures += 1
                streak.failed(f"no event can be published: {type(error).__name__}: {error}")
                log_failure(log, error, "the relay will retry")

    def stop(self) -> None:
        """Let `run` return once everything saved until now has been published and cleared, as far as possible."""
        self._stopped.set()
        self._wake.set()

    def work(self) -> None:
        """Publish what was just saved, clear what was published, and poll, each when it is due."""
        try:
            for aggregates, fast_path in self._fast_paths.items():
                self._publish_fast_path(aggregates, fast_path)
        except Exception:
            for fast_path in self._fast_paths.values():
                fast_path.leave_to_poll()
            raise
        now = time.monotonic()
        if now >= self._clear_at or self._stopped.is_set():
            for aggregates, fast_path in self._fast_paths.items():
                self._clear(aggregates, fast_path)
            self._clear_at = float("inf")
        if now >= self._poll_at:
            self._poll_at = now + self.poll_seconds
            for aggregates in self.aggregates:
                self._poll(aggregates)

    def flush(self) -> int:
        """Publish what waits now and is not leased to another relay; return how many events were published."""
        return sum(self._publish_waiting(each, {}) for each in self.aggregates)

    def _saved(self, fast_path: FastPath, ident: str, event: Document, is_alone: bool) -> None:
        fast_path.add(ident, event, is_alone)
        self._wake.set()

    def _publish_fast_path(self, aggregates: Aggregates, fast_path: FastPath) -> None:
        if claims := fast_path.unsent():
            self._clear_at = min(self._clear_at, time.monotonic() + CLEAR_SECONDS)
            before, oldest = _count(claims), claims[0].outbox[len(claims[0].sent)]["at"]
            self._publish(claims)
            self._observe(aggregates, _count(claims) - before, oldest)

    def _clear(self, aggregates: Aggregates, fast_path: FastPath) -> None:
        """Clear the outboxes of what was published from memory; publish what others have put into them meanwhile."""
        claims = fast_path.sent()
        if not claims:
            return
        collection = with_relaxed_writes(aggregates.collection)
        updates = [claim.release() if claim.refused else claim.clear() for claim in claims]
        matched = collection.bulk_write(updates, ordered=False).matched_count
        done = fast_path.forget(claims)
        if matched < len(claims) and done:
            collection.bulk_write([claim.release() for claim in done if claim.sent], ordered=False)
            self._publish_waiting(aggregates, {"_id": {"$in": [claim.ident for claim in done]}})

    def _poll(self, aggregates: Aggregates) -> None:
        """Publish what was waiting at the previous poll already: the process that saved it should have by now."""
        until, self._full_until[aggregates] = self._full_until.get(aggregates), newest(aggregates.collection)
        if until:
            self._publish_waiting(aggregates, {"outbox_at": {"$lte": until}})

    def _publish_waiting(self, aggregates: Aggregates, where: Document) -> int:
        """Publish the events that wait in the documents that match; return how many."""
        published, left = 0, [(where, True)]
        while left and not self._stopped.is_set():
            where, is_new = left.pop()
            claims = self._publish_leased(aggregates, where)
            published += _count(claims)
            if is_new and len(claims) == BATCH:
                left.append((where, True))
            if is_new and claims or any(len(claim.sent) == EVENTS_OF_EACH for claim in claims):
                left.append(({"_id": {"$in": [claim.ident for claim in claims]}}, False))  # what was saved meanwhile
        return published

    def _publish_leased(self, aggregates: Aggregates, where: Document) -> list[Claim]:
        """Lease documents that match, publish their events, and release them; return the claims."""
        claims, oldest = lease(aggregates.collection, self.lease_seconds, where)
        if claims:
            try:
                self._publish(claims)
            finally:  # also when the connection to the broker is lost half-way
                with_relaxed_writes(aggregates.collection).bulk_write(
                    [claim.release() for claim in claims], ordered=False
                )
            self._observe(aggregates, _count(claims), oldest)
        return claims

    def _publish(self, claims: list[Claim]) -> None:
        """Publish the events of the claims, in batches of one event each of at most BATCH claims."""
        while left := [claim for claim in claims if claim.has_next]:
            batch = [(claim, message) for claim in left[:BATCH] if (message := claim.message(self.source))]
            failed = self.publisher.publish([message for _, message in batch])
            for claim, message in batch:
                if message.message_id in failed:
                    claim.refuse(failed[message.message_id])
                else:
                    claim.sent.append(message.message_id)

    def _observe(self, aggregates: Aggregates, published: int, oldest: Any) -> None:
        name = aggregates.collection.name
        relay_batch_events.labels(name).observe(published)
        outbox_age_seconds.labels(name).observe((utc_now() - oldest).total_seconds())


def _count(claims: list[Claim]) -> int:
    return sum(len(claim.sent) for claim in claims)


def pause_after(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row."""
    return float(min(2 ** min(failures - 1, 10), LONGEST_PAUSE_SECONDS))


def relay_of(store: Any, catalogue: Catalogue, source: str, amqp_url: str) -> Relay:
    """Return a relay for all aggregates of `store`, whose events `source` publishes, woken by each of their writes."""
    publisher = Publisher(amqp_url, partial(topology.declare_published, events=catalogue.published_by(source)))
    relay = Relay(publisher, aggregates_of(store), source)
    relay.attach()
    return relay
