"""Anti-entropy: compares copies with their source by version, and repairs what differs.

So even a purged queue or a lost copy heals. What changed since the last comparison is compared every few seconds, which
finds every lost event; everything, finished or not, is compared slowly in the background, a page each time, which finds
a copy that was damaged. So the cost does not depend on how much there is. How far a comparison has got is kept in the
database of the copies (`Progress`), where one instance of a service at a time takes it.

A page is [[id, version, ...], ...]. A service has one `AntiEntropyProvider` for each kind of copies it keeps.
"""

import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from nameko.extensions import DependencyProvider
from nameko.timer import Timer
from pymongo import ReturnDocument
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from libs.alarms import FailureStreak
from libs.errors import log_failure
from libs.events.event import Event
from libs.metrics import copies_compared_timestamp_seconds, copies_repaired, copies_stale

log = logging.getLogger(__name__)

PAGE = 500
BATCH = 100
"""How many snapshots are fetched by one call."""
PAGE_SECONDS = 0.25
"""From one page of changes to the next: a long outage is caught up with steadily."""
UNDER_WAY_SECONDS = 2.0
"""How long a copy may be behind its source because the event has not arrived yet."""
MOST_LEFT = 1000
"""How many copies may wait to be repaired before no more are looked for."""

INTERVAL_SECONDS = 10
RUN_SECONDS, REPAIR_SECONDS = 5.0, 15.0
DUE, LEASE = timedelta(seconds=9), timedelta(seconds=30)
"""From the beginning of one run to that of the next: a little less than the interval; and if its instance dies."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Page = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Source:
    """Where the copies in `database` come from, and how to repair one that is out of date.

    `page(after)` returns the source's next page in the order of the ids, `changes(after)` the next page of what changed
    (see `Aggregates.changes`), `stale(page)` those ids of a page whose copy is missing or older, `fetch(ids)` the
    snapshots of at most BATCH of those, and `apply(snapshot)` applies one as the handlers of its events do.
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
    """Return the source queried by RPC: the publisher of `event`, by its `versions`, `changes` and `snapshots`.

    `call(service, method, arguments)` makes a call; `apply(snapshot)` is what the handlers of its events do.
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
    """How far a comparison has got: what changed is compared up to `position`, everything up to the id `after`.

    `left` are the ids of copies that were found out of date and are not repaired yet.
    """

    position: list[int] | None = None
    after: str | None = None
    left: list[str] = field(default_factory=list)


def _state(found: dict[str, Any]) -> State:
    return State(**{name: found[name] for name in vars(State()) if name in found})


class Progress:
    """The state of a comparison, as a document that one instance at a time takes, by the clock of MongoDB."""

    def __init__(self, collection: Collection[dict[str, Any]], name: str) -> None:
        self.collection = collection
        self.name = name
        self._holder = uuid.uuid4().hex

    def take(self) -> State | None:
        """Return the state when a run is due, and lease it; None while it is not, or another instance runs."""
        found = self._take()
        if found is None:
            with suppress(DuplicateKeyError):  # there is one, and it is not due
                self.collection.insert_one({"_id": self.name})
                found = self._take()
        return _state(found) if found else None

    def save(self, state: State) -> None:
        """Keep the state until the next run is due; not if the lease ran out and another instance took it."""
        leased = {"_id": self.name, "holder": self._holder}
        due = {"$subtract": ["$due_at", (LEASE - DUE) // timedelta(milliseconds=1)]}
        kept = {name: {"$literal": value} for name, value in vars(state).items()}
        self.collection.update_one(leased, [{"$set": {**kept, "due_at": due, "holder": None}}])

    def read(self) -> State:
        """Return the state as it is stored."""
        return _state(self.collection.find_one({"_id": self.name}) or {})

    def _take(self) -> dict[str, Any] | None:
        is_due = {"$expr": {"$lte": [{"$ifNull": ["$due_at", LONG_AGO]}, "$$NOW"]}}
        until = {"$add": ["$$NOW", LEASE // timedelta(milliseconds=1)]}
        return self.collection.find_one_and_update(
            {"_id": self.name, **is_due},
            [{"$set": {"due_at": until, "holder": self._holder}}],
            return_document=ReturnDocument.AFTER,
        )


@dataclass(frozen=True)
class Standing:
    """How many copies of one kind are known to be out of date, and up to how many seconds ago all were compared."""

    copies: str
    stale: int
    behind_seconds: float | None


class AntiEntropy:
    """Compares one kind of copies with their source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = FailureStreak("comparison_stuck")

    def run(self, source: Source, seconds: float = RUN_SECONDS) -> int:
        """Compare what changed, and one page of everything, if that is due; return how many copies were repaired.

        Comparing ends after `seconds`, and so does repairing; the next run goes on. A copy that cannot be repaired is
        logged, and tried again by each run. Raises what querying the source raises.
        """
        progress = Progress(source.database.comparisons, self.name)
        state = progress.take()
        if state is None:
            return 0
        try:
            self._compare_changes(source, state, time.monotonic() + seconds)
            self._compare_page(source, state)
            return self._repair(source, state, time.monotonic() + seconds)
        finally:  # the state says at each moment what is left to repair; a database that refuses writes keeps none
            copies_stale.labels(self.name).set(len(state.left))
            if state.position:  # else nothing has been compared yet
                copies_compared_timestamp_seconds.labels(self.name).set(state.position[0])
            progress.save(state)

    def repair(self, source: Source, after: str | None, seconds: float = REPAIR_SECONDS) -> dict[str, Any]:
        """Compare everything from `after` on, or from the beginning, wherever `run` has got to.

        Returns {"repaired", "next"}: how many copies were out of date, and the `after` of the next call; None at the
        end.
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

    def standing(self, source: Source) -> Standing:
        """Return how far the comparison has got."""
        state = Progress(source.database.comparisons, self.name).read()
        behind = time.time() - state.position[0] if state.position else None
        return Standing(self.name, len(state.left), behind)

    def _compare_changes(self, source: Source, state: State, deadline: float) -> None:
        """Note what changed and is out of date, page by page, until the newest change or the deadline."""
        while len(state.left) < MOST_LEFT:
            changes = source.changes(state.position)
            _note(state, source.stale(changes["page"]))
            state.position = changes["next"]
            if changes["is_last"] or time.monotonic() + PAGE_SECONDS > deadline:
                break
            time.sleep(PAGE_SECONDS)

    def _compare_page(self, source: Source, state: State) -> None:
        """Note what is out of date of the next page of everything, and still is once events under way have arrived."""
        if len(state.left) < MOST_LEFT:
            page = source.page(state.after)
            stale = set(source.stale(page))
            if stale:
                time.sleep(UNDER_WAY_SECONDS)
                _note(state, source.stale([row for row in page if row[0] in stale]))
            state.after = page[-1][0] if page else None

    def _repair(self, source: Source, state: State, deadline: float) -> int:
        """Repair what is left until the deadline; return how many copies were repaired.

        What cannot be repaired is tried again after all others.
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
        """Fetch and apply snapshots; return the ids of those that could not be applied, or not before the deadline."""
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
        if repaired:  # else the counter would appear, by which the alert knows the first repair
            copies_repaired.labels(self.name).inc(repaired)
        return [snapshot["id"] for snapshot in snapshots] + failed


def _note(state: State, stale: Iterable[str]) -> None:
    state.left = list(dict.fromkeys([*state.left, *stale]))


class AntiEntropyProvider(DependencyProvider):
    """Compares one kind of a service's copies with their source at the start and then every few seconds.

    `source(service)` returns the Source, given the service in a worker. Workers get `repair(after)`, for an RPC method.
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
        """Return `repair` for this worker; called, it makes one run."""
        return Comparison(self.anti_entropy, partial(self.source, worker_ctx.service))


@dataclass(frozen=True)
class Comparison:
    """What a worker has of a service's anti-entropy, which all its workers share."""

    anti_entropy: AntiEntropy
    source: Callable[[], Source]

    def __call__(self) -> None:
        """Make one run, if it is due."""
        self.anti_entropy.run(self.source())  # whatever it raises, the next run goes on from here

    def repair(self, after: str | None) -> dict[str, Any]:
        """Compare from `after` on: see AntiEntropy.repair."""
        return self.anti_entropy.repair(self.source(), after)

    def standing(self) -> Standing:
        """Return how far the comparison has got, by whichever instance."""
        return self.anti_entropy.standing(self.source())


def stale_in(
    collection: Collection[dict[str, Any]], version_field: str = "version", is_partial: bool = False
) -> Callable[[Page], list[str]]:
    """Return the `stale` of copies kept in `collection` under their source's ids, with its version in a field.

    A copy without the field counts as older than any. `is_partial`: what is not there at all is not meant to be.
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
