"""The relay: publishes the events in the outboxes, at once after a write and again after any crash.

What this process has just saved is published from memory, without a query, and cleared soon after, many outboxes by one
command (`libs.events.fresh`). What a crash left, or could not be published, is found by a poll: an outbox that was
full at the poll before is leased, published, and released without what the broker confirmed.

The first events of all aggregates leave in one pipelined batch, then their second ones and so on. So the events of one
aggregate leave in order, and what is refused, or cannot be published at all, holds up only its own aggregate, which is
retried with backoff. A lease only saves work: should one run out while its holder is paused, or an outbox be cleared
late, two relays publish the same events, for which listeners are prepared, and each removes only what it published
itself. Leases and delays go by the clock of the database alone.
"""

import logging
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from libs.alarms import Repeated
from libs.amqp.publisher import Publisher
from libs.clock import utc_now
from libs.errors import log_failure
from libs.events import topology
from libs.events.aggregates import Aggregates
from libs.events.catalogue import Catalogue
from libs.events.claims import BATCH, EVENTS_OF_EACH, Claim, Document, lease, newest, unhurried
from libs.events.fresh import Fresh
from libs.metrics import outbox_age_seconds, relay_batch_events

log = logging.getLogger(__name__)

LEASE_SECONDS = 10.0
"""Longer than a publisher waits for confirms; what a killed holder had leased waits for so long."""
POLL_SECONDS = 2.0
CLEAR_SECONDS = 0.02
"""How long what was published from memory stays in its outbox at most, so that many are cleared by one command."""

LONGEST_PAUSE_SECONDS = 5


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
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.publisher = publisher
        self.aggregates = aggregates
        self.source = source
        self.lease_seconds = lease_seconds
        self.poll_seconds = poll_seconds
        self._fresh = {each: Fresh() for each in aggregates}
        self._full_until: dict[Aggregates, Any] = {}
        self._poll_at = self._clear_at = 0.0
        self._wake, self._stopped = threading.Event(), threading.Event()

    def attach(self) -> None:
        """From now on hand the event of each write of the aggregates to this relay; the write does not wait for it."""
        for aggregates in self.aggregates:
            aggregates.saved = partial(self._saved, self._fresh[aggregates])

    def run(self) -> None:
        """Publish until `stop` is called; after an error try again every few seconds."""
        failures, is_last, troubles = 0, False, Repeated("relay_stuck")
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
                troubles.succeeded()
            except Exception as error:  # noqa: BLE001 - a relay that ended would publish no later event
                failures += 1
                troubles.failed(f"no event can be published: {type(error).__name__}: {error}")
                log_failure(log, error, "the relay will retry")

    def stop(self) -> None:
        """Let `run` return once what was saved until now has been published and cleared, if that is possible."""
        self._stopped.set()
        self._wake.set()

    def work(self) -> None:
        """Publish what was just saved, and what is found by the poll, when it is time; clear what was published."""
        try:
            for aggregates, fresh in self._fresh.items():
                self._publish_fresh(aggregates, fresh)
        except Exception:
            for fresh in self._fresh.values():
                fresh.leave()
            raise
        now = time.monotonic()
        if now >= self._clear_at or self._stopped.is_set():
            for aggregates, fresh in self._fresh.items():
                self._clear(aggregates, fresh)
            self._clear_at = float("inf")
        if now >= self._poll_at:
            self._poll_at = now + self.poll_seconds
            for aggregates in self.aggregates:
                self._poll(aggregates)

    def flush(self) -> int:
        """Publish what waits now and is not leased to another relay; return how many events were published."""
        return sum(self._publish_waiting(each, {}) for each in self.aggregates)

    def _saved(self, fresh: Fresh, ident: str, event: Document, is_alone: bool) -> None:
        fresh.add(ident, event, is_alone)
        self._wake.set()

    def _publish_fresh(self, aggregates: Aggregates, fresh: Fresh) -> None:
        if claims := fresh.unsent():
            self._clear_at = min(self._clear_at, time.monotonic() + CLEAR_SECONDS)
            before, oldest = _count(claims), claims[0].outbox[len(claims[0].sent)]["at"]
            self._publish(claims)
            self._observe(aggregates, _count(claims) - before, oldest)

    def _clear(self, aggregates: Aggregates, fresh: Fresh) -> None:
        """Clear the outboxes of what was published from memory; leave what others have put into them to `flush`."""
        claims = fresh.sent()
        if not claims:
            return
        collection = unhurried(aggregates.collection)
        updates = [claim.release() if claim.refused else claim.clear() for claim in claims]
        matched = collection.bulk_write(updates, ordered=False).matched_count
        done = fresh.forget(claims)
        if matched < len(claims) and done:
            collection.bulk_write([claim.release() for claim in done if claim.sent], ordered=False)
            self._publish_waiting(aggregates, {"_id": {"$in": [claim.ident for claim in done]}})

    def _poll(self, aggregates: Aggregates) -> None:
        """Publish what was waiting at the poll before already: whoever saved it would have published it by now."""
        until, self._full_until[aggregates] = self._full_until.get(aggregates), newest(aggregates.collection)
        if until:
            self._publish_waiting(aggregates, {"outbox_at": {"$lte": until}})

    def _publish_waiting(self, aggregates: Aggregates, where: Document) -> int:
        """Publish what waits in the documents that match; return how many events."""
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
        """Lease documents that match, publish what waits in them, and release them; return them."""
        claims, oldest = lease(aggregates.collection, self.lease_seconds, where)
        if claims:
            try:
                self._publish(claims)
            finally:  # also when the connection to the broker is lost half-way
                unhurried(aggregates.collection).bulk_write([claim.release() for claim in claims], ordered=False)
            self._observe(aggregates, _count(claims), oldest)
        return claims

    def _publish(self, claims: list[Claim]) -> None:
        """Publish the first event of each of the claims, then the second ones and so on."""
        while left := [claim for claim in claims if claim.has_next]:
            batch = [(claim, message) for claim in left if (message := claim.message(self.source))]
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
    relay = Relay(publisher, [value for value in vars(store).values() if isinstance(value, Aggregates)], source)
    relay.attach()
    return relay
