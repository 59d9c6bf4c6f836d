"""Anti-entropy: compares copies with their source by version, in pages, and repairs what differs.

So even a purged queue or a lost copy heals. A page is [[id, version, ...], ...] in the order of the ids. A service has
one `AntiEntropyProvider` for each kind of copies it keeps.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from nameko.extensions import DependencyProvider
from nameko.timer import Timer
from pymongo.collection import Collection

from libs.errors import ignoring_unavailable, log_failure
from libs.events.event import Event
from libs.metrics import copies_repaired

log = logging.getLogger(__name__)

PAGE = 500
BATCH = 100
"""How many snapshots are fetched by one call."""

RUN_SECONDS, REPAIR_SECONDS = 5.0, 15.0
INTERVAL_SECONDS = 30

Page = list[list[Any]]


@dataclass(frozen=True)
class Source:
    """Where copies come from, and how to repair one that is out of date.

    `page(after)` returns the source's next page of ids and versions, `stale(page)` those ids of it whose copy is
    missing or older, `fetch(ids)` the snapshots of at most BATCH of those, and `follow(snapshot)` applies one as the
    handlers of its events do.
    """

    page: Callable[[str | None], Page]
    stale: Callable[[Page], list[str]]
    fetch: Callable[[list[str]], list[dict[str, Any]]]
    follow: Callable[[dict[str, Any]], Any]


def rpc_source(
    call: Callable[[str, str, dict[str, Any]], Any],
    event: Event,
    stale: Callable[[Page], list[str]],
    follow: Callable[[dict[str, Any]], Any],
) -> Source:
    """Return the source queried by RPC: the publisher of `event`, by its `versions(after)` and `snapshots(ids)`.

    `call(service, method, arguments)` makes a call; `follow(snapshot)` is what the handlers of its events do.
    """
    return Source(
        lambda after: call(event.source, "versions", {"after": after}),
        stale,
        lambda idents: call(event.source, "snapshots", {"ids": idents}),
        lambda snapshot: follow(event.load(snapshot)),
    )


class AntiEntropy:
    """Compares one kind of copies with their source, a stretch at a time; the next run goes on where this one ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._after: str | None = None

    def run(self, source: Source, seconds: float = RUN_SECONDS) -> int:
        """Compare until the end, or for `seconds`; return how many copies were out of date.

        One that cannot be repaired is logged and tried again in the next round. Raises what querying the source raises.
        """
        found, self._after = self._stretch(source, self._after, seconds)
        return found

    def repair(self, source: Source, after: str | None, seconds: float = REPAIR_SECONDS) -> dict[str, Any]:
        """Compare from `after` on, or from the beginning, wherever `run` has got to.

        Returns {"repaired", "next"}: how many copies were out of date, and the `after` of the next call; None at the
        end.
        """
        found, following = self._stretch(source, after, seconds)
        return {"repaired": found, "next": following}

    def _stretch(self, source: Source, after: str | None, seconds: float) -> tuple[int, str | None]:
        deadline, found = time.monotonic() + seconds, 0
        while page := source.page(after):
            stale = source.stale(page)
            batches = [stale[start : start + BATCH] for start in range(0, len(stale), BATCH)]
            for batch in batches:
                self._follow(source, batch)
                found, after = found + len(batch), batch[-1]
                if time.monotonic() > deadline:
                    break
            else:
                after = page[-1][0]
            if time.monotonic() > deadline:
                break
        else:
            after = None
        copies_repaired.labels(self.name).inc(found)
        return found, after

    def _follow(self, source: Source, idents: list[str]) -> None:
        log.warning("%s out of date: %s", self.name, ", ".join(idents))
        for snapshot in source.fetch(idents):
            try:
                source.follow(snapshot)
            except Exception as error:  # noqa: BLE001 - one that cannot be repaired must not hold up the others
                log_failure(log, error, "%s: %s could not be repaired", self.name, snapshot.get("id"))


class AntiEntropyProvider(DependencyProvider):
    """Compares one kind of a service's copies with their source at the start and every 30 s, for 5 s at most.

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

    def get_dependency(self, worker_ctx: Any) -> "_WorkerAntiEntropy":
        """Return `repair` for this worker; called, it makes one run."""
        return _WorkerAntiEntropy(self.anti_entropy, partial(self.source, worker_ctx.service))


@dataclass(frozen=True)
class _WorkerAntiEntropy:
    """What a worker has of a service's anti-entropy, which all its workers share."""

    anti_entropy: AntiEntropy
    source: Callable[[], Source]

    def __call__(self) -> None:
        with ignoring_unavailable():  # the next run goes on from here
            self.anti_entropy.run(self.source())

    def repair(self, after: str | None) -> dict[str, Any]:
        """Compare from `after` on: see AntiEntropy.repair."""
        return self.anti_entropy.repair(self.source(), after)


def stale_in(collection: Collection[dict[str, Any]], version_field: str = "version") -> Callable[[Page], list[str]]:
    """Return the `stale` of copies kept in `collection` under their source's ids, with its version in a field.

    A copy without the field counts as older than any.
    """

    def stale(page: Page) -> list[str]:
        versions = {ident: version for ident, version, *_ in page}
        wanted = {"_id": {"$in": list(versions)}}
        known = {
            found["_id"]: found.get("known", 0) for found in collection.find(wanted, {"known": f"${version_field}"})
        }
        return [ident for ident, version in versions.items() if known.get(ident, 0) < version]

    return stale
