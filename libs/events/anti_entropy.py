"""Anti-entropy: compares copies with their source by version, and repairs what differs.

So even a purged queue or a lost copy heals. Every few seconds a run compares what has changed since the last one, which
finds every lost event, and one page of everything, which finds damaged copies in time. So the cost of a run does not
depend on the amount of data. The position of a comparison is kept in the database of the copies (`Progress`), where one
instance of a service at a time leases it.

A page is [[id, version, ...], ...]. A service has one `AntiEntropyProvider` for each kind of copies it keeps.
"""

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from nameko.extensions import DependencyProvider
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from libs.alarms import FailureStreak
from libs.amqp.timer import Timer
from libs.database import is_due
from libs.errors import log_failure
from libs.events.event import Event
from libs.metrics import copies_compared_timestamp_seconds, copies_repaired, copies_stale

log = logging.getLogger(__name__)

PAGE = 500
BATCH = 100
"""How many snapshots one call fetches."""
PAGE_SECONDS = 0.25
"""The pause between pages of changes, so that catching up after a long outage does not overload the source."""
IN_FLIGHT_SECONDS = 2.0
"""How long a copy may be behind its source because the event is still in flight."""
MOST_LEFT = 1000
"""How many copies may wait for repair before a run stops looking for more."""

INTERVAL_SECONDS = 10
RUN_SECONDS, REPAIR_SECONDS = 5.0, 15.0
DUE, LEASE = timedelta(seconds=9), timedelta(seconds=30)
"""How soon after its start a run may be followed by the next: normally, and if its instance died."""

Page = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Source:
    """Where the copies in `database` come from, and how to repair one that is out of date.

    `page(after)` returns the source's next page in id order, `changes(after)` the next page of what changed (see
    `Aggregates.changes`), `stale(page)` the ids in a page whose copy is missing or older, `fetch(ids)` the snapshots of
    at most BATCH of those, and `apply(snapshot)` applies one as the handlers of its events do.
    """

    database: Database[dict[str, Any]]
    page: Callable[[str | None], Page]
    changes: Callable[[Sequence[int] | None], dict[str, Any]]
    stale: Callable[[Page], list[str]]
    fetch: Callable[[list[str]], list[dict[str, Any]]]
    apply: Callable[[dict[str, Any]], Any]


def rpc_source(
    call: Callable[[str, str, dict[str, Any]], Any],
    event: Event,
    database: Database[dict[str, Any]],
    stale: Callable[[Page], list[str]],
    apply: Callable[[dict[str, Any]], Any],
) -> Source:
    """Return a source that is queried by RPC: the publisher of `event`, with `versions`, `changes` and `snapshots`.

    `call(service, method, arguments)` makes a call; `apply(snapshot)` does what the handlers of the events do.
    """
    return Source(
        database,
        lambda after: call(event.source, "versions", {"after": after}),
        lambda after: call(event.source, "changes", {"after": after}),
        stale,
        lambda idents: call(event.source, "snapshots", {"ids": idents}),
        lambda snapshot: apply(event.load(snapshot)),
    )


@dataclass
class State:
    """How far a comparison has got: changes are compared up to `position`, everything up to the id `after`.

    `left` are the ids of stale copies that are not repaired yet.
    """

    position: list[int] | None = None
    after: str | None = None
    left: list[str] = field(default_factory=list)


def _state(found: dict[str, Any]) -> State:
    return State(**{name: found[name] for name in vars(State()) if name in found})


class Progress:
    """The state of a comparison, in a document that one instance at a time leases, by the clock of MongoDB."""

    def __init__(self, collection: Collection[dict[str, Any]], name: str) -> None:
        self.collection = collection
        self.name = name
        self._holder = uuid.uuid4().hex

    def take(self) -> State | None:
        """Lease and return the state if a run is due; None if it is not, or another instance is running."""
        found = self._take()
        if found is None:
            with suppress(DuplicateKeyError):  # there is one, and it is not due
                self.collection.insert_one({"_id": self.name})
                found = self._take()
        return _state(found) if found else None

    def save(self, state: State) -> None:
        """Store the state and release the lease; does nothing if another instance has taken over an expired lease."""
        leased = {"_id": self.name, "holder": self._holder}
        due = {"$subtract": ["$due_at", (LEASE - DUE) // timedelta(milliseconds=1)]}
        kept = {name: {"$literal": value} for name, value in vars(state).items()}
        self.collection.update_one(leased, [{"$set": {**kept, "due_at": due, "holder": None}}])

    def read(self) -> State:
        """Return the state as it is stored."""
        return _state(self.collection.find_one({"_id": self.name}) or {})

    def _take(self) -> dict[str, Any] | None:
        until = {"$add": ["$$NOW", LEASE // timedelta(milliseconds=1)]}
        return self.collection.find_one_and_update(
            {"_id": self.name, **is_due("due_at", LEASE.total_seconds())},
            [{"$set": {"due_at": until, "holder": self._holder}}],
            return_document=ReturnDocument.AFTER,
        )


@dataclass(frozen=True)
class ComparisonStatus:
    """How many copies of one kind are known to be stale, and how many seconds the comparison is behind."""

    copies: str
    stale: int
    behind_seconds: float | None


class AntiEntropy:
    """Compares one kind of copies with their source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = FailureStreak("comparison_stuck")

    def run(self, source: Source, seconds: float = RUN_SECONDS) -> int:
        """If a run is due, compare what changed and one page of everything; return how many copies were repaired.

        Comparing ends after `seconds`, and so does repairing; the next run continues. A copy that cannot be repaired is
        logged, and retried by each run. Raises what querying the source raises.
        """
        progress = Progress(source.database.comparisons, self.name)
        state = progress.take()
        if state is None:
            return 0
        try:
            self._compare_changes(source, state, time.monotonic() + seconds)
            self._compare_page(source, state)
            return self._repair(source, state, time.monotonic() + seconds)
        finally:  # the stored state always has what is left to repair; a database that refuses writes keeps none
            copies_stale.labels(self.name).set(len(state.left))
            if state.position:  # else nothing has been compared yet
                copies_compared_timestamp_seconds.labels(self.name).set(state.position[0])
            progress.save(state)

    def repair(self, source: Source, after: str | None, seconds: float = REPAIR_SECONDS) -> dict[str, Any]:
        """Compare everything after the id `after`, or from the beginning, independently of `run`.

        Returns {"repaired", "next"}: how many copies were stale, and the `after` of the next call, None at the end.
        """
        deadline, found = time.monotonic() + seconds, 0
        while page := source.page(after):
            stale = source.stale(page)
            batches = [stale[start : start + BATCH] for start in range(0, len(stale), BATCH)]
            for batch in batches:
                self._fetch_and_apply(source, batch)
                found, after = found + len(batch), batch[-1]
                if time.monotonic() > deadline:
                    break
            else:
                after = page[-1][0]
            if time.monotonic() > deadline:
                break
        else:
            after = None
        return {"repaired": found, "next": after}

    def status(self, source: Source) -> ComparisonStatus:
        """Return how far the comparison has got."""
        state = Progress(source.database.comparisons, self.name).read()
        behind = time.time() - state.position[0] if state.position else None
        return ComparisonStatus(self.name, len(state.left), behind)

    def _compare_changes(self, source: Source, state: State, deadline: float) -> None:
        """Note changes whose copies are stale, page by page, until the newest change or the deadline."""
        while len(state.left) < MOST_LEFT:
            changes = source.changes(state.position)
            _note(state, source.stale(changes["page"]))
            state.position = changes["next"]
            if changes["is_last"] or time.monotonic() + PAGE_SECONDS > deadline:
                break
            time.sleep(PAGE_SECONDS)

    def _compare_page(self, source: Source, state: State) -> None:
        """Note the copies of the next page of everything that are stale, and still are once events have arrived."""
        if len(state.left) < MOST_LEFT:
            page = source.page(state.after)
            stale = set(source.stale(page))
            if stale:
                time.sleep(IN_FLIGHT_SECONDS)
                _note(state, source.stale([row for row in page if row[0] in stale]))
            state.after = page[-1][0] if page else None

    def _repair(self, source: Source, state: State, deadline: float) -> int:
        """Repair the copies that are left, until the deadline; return how many were repaired.

        Those that cannot be repaired are retried after all others.
        """
        repaired = 0
        for _ in range(0, len(state.left), BATCH):
            batch = state.left[:BATCH]
            failed = self._fetch_and_apply(source, batch, deadline)
            repaired += len(batch) - len(failed)
            state.left = state.left[len(batch) :] + failed
            if time.monotonic() > deadline:
                break
        return repaired

    def _fetch_and_apply(self, source: Source, idents: list[str], deadline: float = math.inf) -> list[str]:
        """Fetch and apply snapshots; return the ids of those that were not applied by the deadline, or failed."""
        log.warning("%s out of date: %s", self.name, ", ".join(idents))
        snapshots, failed = source.fetch(idents), []
        while snapshots:
            snapshot = snapshots.pop(0)
            ident = str(snapshot.get("id"))
            try:
                source.apply(snapshot)
                self.failures.succeeded(ident)
            except Exception as error:  # noqa: BLE001 - one that cannot be repaired must not hold up the others
                log_failure(log, error, "%s: %s could not be repaired", self.name, ident)
                self.failures.failed(f"{self.name}: {ident} could not be repaired: {error}", ident)
                failed.append(snapshot["id"])
            if time.monotonic() > deadline:
                break
        repaired = len(idents) - len(failed) - len(snapshots)
        if repaired:  # else the counter would appear at zero; the alert takes its appearance for the first repair
            copies_repaired.labels(self.name).inc(repaired)
        return [snapshot["id"] for snapshot in snapshots] + failed


def _note(state: State, stale: Iterable[str]) -> None:
    state.left = list(dict.fromkeys([*state.left, *stale]))


class AntiEntropyProvider(DependencyProvider):
    """Compares one kind of a service's copies with their source, at the start and then every few seconds.

    `source(service)` returns the Source, given the service in a worker. Workers get a `Comparison`.
    """

    def __init__(self, name: str, source: Callable[[Any], Source]) -> None:
        self.anti_entropy = AntiEntropy(name)
        self.source = source

    def bind(self, container: Any, attr_name: str) -> "AntiEntropyProvider":
        """Bind a timer too, whose workers call what `get_dependency` returns."""
        bound: AntiEntropyProvider = super().bind(container, attr_name)
        container.entrypoints.add(Timer(INTERVAL_SECONDS, eager=True).bind(container, attr_name))
        return bound

    def get_dependency(self, worker_ctx: Any) -> "Comparison":
        """Return the comparison for this worker."""
        return Comparison(self.anti_entropy, lambda: self.source(worker_ctx.service))


@dataclass(frozen=True)
class Comparison:
    """A worker's access to the anti-entropy that all workers of a service share; calling it makes one run."""

    anti_entropy: AntiEntropy
    source: Callable[[], Source]

    def __call__(self) -> None:
        """Make one run, if it is due."""
        self.anti_entropy.run(self.source())  # whatever it raises, the next run continues from here

    def repair(self, after: str | None) -> dict[str, Any]:
        """Compare from `after` on: see AntiEntropy.repair."""
        return self.anti_entropy.repair(self.source(), after)

    def status(self) -> ComparisonStatus:
        """Return how far the comparison has got, in all instances."""
        return self.anti_entropy.status(self.source())


def stale_in(
    collection: Collection[dict[str, Any]], version_field: str = "version", is_partial: bool = False
) -> Callable[[Page], list[str]]:
    """Return the `stale` for copies that `collection` keeps under their source's ids, with its version in a field.

    A copy without the field counts as older than any. `is_partial`: a copy that is missing is not stale.
    """

    missing = math.inf if is_partial else 0

    def stale(page: Page) -> list[str]:
        versions = {ident: version for ident, version, *_ in page}
        wanted = {"_id": {"$in": list(versions)}}
        known = {
            found["_id"]: found.get("known", 0) for found in collection.find(wanted, {"known": f"${version_field}"})
        }
        return [ident for ident, version in versions.items() if known.get(ident, missing) < version]

    return stale
