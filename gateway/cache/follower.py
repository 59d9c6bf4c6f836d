"""The background threads that keep a memory current: one receives tickets' events and watermarks, one requests these.

Events also wake the requests that wait for the end of a reservation.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from gateway.cache.ended_holds import EndedHolds
from gateway.cache.memory import Memory
from libs.amqp.broadcasts import BroadcastListener
from libs.amqp.raw_messages import require_readable
from libs.errors import Unavailable, log_failure
from libs.events.topology import ALL, WATERMARK
from libs.threads import BackgroundThreads

EXCHANGE = "tickets.events"
ASK_SECONDS = 0.4
"""The pause between two requests for a watermark, while the memory is used: a late answer does no harm."""
CHECK_SECONDS = 1.0
SILENT_SECONDS = 2.0
"""After how long without an answer something must be wrong with the queue, such as its binding."""

log = logging.getLogger(__name__)


class Silent(Unavailable):
    """tickets accepts the requests, but no watermark arrives."""


class Follower:
    """Keeps a memory current. `ask(process, number)` calls `tickets.watermark`; `clock` is the memory's."""

    def __init__(
        self,
        amqp_url: str,
        memory: Memory,
        ask: Callable[[str, int], Any],
        ended_holds: EndedHolds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._memory = memory
        self._ask = ask
        self._ended_holds = ended_holds
        self._clock = clock
        self._process = uuid.uuid4().hex
        self._number = 0
        self._asked_at: dict[int, float] = {}
        """The times of the unanswered requests, by their numbers."""
        self._unanswered_since: float | None = None
        self._is_failing = False
        listener = BroadcastListener(
            "gateway.Tickets",
            amqp_url,
            EXCHANGE,
            ALL,
            self.on_message,
            on_bound=self._on_bound,
            check=self._check,
            check_seconds=CHECK_SECONDS,
        )
        self._threads = BackgroundThreads("public-reads", listener.run, self._ask_while_used)

    def start(self) -> None:
        """Start once per process."""
        self._threads.start()

    def stop(self) -> None:
        """Stop, within a second."""
        self._threads.stopping.set()
        self._memory.used.set()

    def on_message(self, message: Any) -> None:
        """Apply a message to the memory. Raises when it cannot be read: then the listener starts over."""
        require_readable(message)
        body = json.loads(message.body or "{}")
        if message.delivery_info["routing_key"] == WATERMARK:
            for ticket_id, version in body["waiting"]:
                self._memory.change(ticket_id, version)
            self._hear_answer(body["asks"].get(self._process))
        elif "id" in body:
            self._memory.change(body["id"], body["version"])
            self._ended_holds.note(body["id"], body.get("status"))

    def ask(self) -> None:
        """Request a watermark; raises as the call does."""
        now, self._number = self._clock(), self._number + 1
        self._asked_at = {number: at for number, at in self._asked_at.items() if now - at < SILENT_SECONDS}
        self._asked_at[self._number] = now
        self._ask(self._process, self._number)
        if self._unanswered_since is None and self._number in self._asked_at:
            self._unanswered_since = now

    def _hear_answer(self, number: int | None) -> None:
        asked_at = self._asked_at.get(number or 0)
        if asked_at is None:
            return
        self._asked_at = {later: at for later, at in self._asked_at.items() if later > (number or 0)}
        self._unanswered_since = None
        self._memory.trust(asked_at)

    def _on_bound(self) -> None:
        self._unanswered_since, self._asked_at = None, {}
        self._memory.start_listening()
        self._ended_holds.is_listening = True

    def _check(self) -> None:
        if self._unanswered_since is not None and self._clock() - self._unanswered_since > SILENT_SECONDS:
            raise Silent("no watermark arrives")

    def _ask_while_used(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            if not self._memory.is_in_use:
                self._memory.used.clear()
                self._memory.used.wait()
            try:
                self.ask()
                self._is_failing = False
            except Exception as error:  # noqa: BLE001 - this thread must not end
                if not self._is_failing:
                    log_failure(log, error, "no watermark: every read calls tickets")
                self._is_failing = True
            stopping.wait(ASK_SECONDS)
