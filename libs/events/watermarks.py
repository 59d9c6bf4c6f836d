"""Watermarks: how a process that caches data of a service makes sure that it has received every change.

It listens to all events of the service by a single binding (`topology.ALL`) of its own queue: of several bindings, one
could be deleted while the others still deliver. When the process asks for a watermark, the service reads from its
database's primary which changes wait in outboxes, and broadcasts them through the exchange of its events. A change that
was committed before the process asked either still waits, and the watermark names it; or it has left its outbox because
the broker confirmed its event, which then entered the queue before the watermark and is received first. It does not
matter which instance of the service answers, nor whether any relay is running.

So by the time a process receives a watermark, it has received every change committed before it asked, by its own clock.
No clocks of two machines are compared, and any delay of the watermark, wherever it arises, counts as its age.
"""

import json
import logging
import threading
import time
from typing import Any

from nameko.extensions import DependencyProvider

from libs.amqp import Outgoing
from libs.errors import log_failure
from libs.events.provider import StoreProvider
from libs.events.topology import WATERMARK

PAUSE_SECONDS = 0.2
"""The pause between two watermarks of an instance; each answers all questions since the last."""
MOST_WAITING = 200
"""How many waiting changes a watermark names; while more wait, there is none."""

log = logging.getLogger(__name__)


class Watermarks(DependencyProvider):
    """Broadcasts watermarks of a service that has a `StoreProvider`, whenever a process asks for one.

    A watermark is {"asks": {process: number}, "waiting": [[id, version], ...]}: the last question of each process, and
    the newest version of each aggregate with events in its outbox.
    """

    def setup(self) -> None:
        """Prepare to receive questions."""
        self._asks: dict[str, int] = {}
        self._asked = threading.Event()
        self._is_stopping = False

    def start(self) -> None:
        """Begin to answer."""
        (stored,) = (each for each in self.container.extensions if isinstance(each, StoreProvider))
        self._relay, self._exchange = stored.relay, f"{self.container.service_name}.events"
        self._thread = self.container.spawn_managed_thread(self._run, identifier="watermarks")

    def stop(self) -> None:
        """Stop answering."""
        self._is_stopping = True
        self._asked.set()
        self._thread.wait()

    def ask(self, process: str, number: int) -> None:
        """Request a watermark that answers the question `number` of a process; returns at once."""
        self._asks[process] = number
        self._asked.set()

    def get_dependency(self, worker_ctx: Any) -> "Watermarks":
        """Return this."""
        return self

    def _run(self) -> None:
        while not self._is_stopping:
            self._asked.wait()
            self._asked.clear()
            try:
                self._broadcast()
            except Exception as error:  # noqa: BLE001 - this thread must not end; the processes will ask again
                log_failure(log, error, "no watermark is broadcast")
            time.sleep(PAUSE_SECONDS)

    def _broadcast(self) -> None:
        asks, self._asks = self._asks, {}  # before the read
        waiting = self._waiting()
        if asks and len(waiting) <= MOST_WAITING:
            body = json.dumps({"asks": asks, "waiting": waiting}).encode()
            self._relay.publisher.publish([Outgoing(self._exchange, WATERMARK, body, mandatory=False)])

    def _waiting(self) -> list[list[Any]]:
        found: list[list[Any]] = []
        for aggregates in self._relay.aggregates:
            full = aggregates.collection.find({"outbox_at": {"$exists": True}}, {"version": 1}, hint="outbox")
            found += [[each["_id"], each["version"]] for each in full.limit(MOST_WAITING + 1)]
        return found
