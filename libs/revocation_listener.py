"""The background threads that keep a process's list of revocations current: one polls auth, one hears when to."""

import time
from typing import Any

from libs.amqp.broadcasts import BroadcastListener
from libs.revocations import Revocations
from libs.settings import verify_seconds
from libs.threads import BackgroundThreads

EXCHANGE = "auth.events"
ROUTING_KEY = "SessionRevoked"


class RevocationListener:
    """Follows the revocations, and polls at once whenever auth's SessionRevoked arrives, whatever is in it."""

    def __init__(self, part: str, amqp_url: str, revocations: Revocations) -> None:
        self._revocations = revocations
        heard = self._on_message, self._on_bound, self._check, verify_seconds()
        self._listener = BroadcastListener(f"{part}.{ROUTING_KEY}", amqp_url, EXCHANGE, ROUTING_KEY, *heard)
        self._verify_at = 0.0
        self._threads = BackgroundThreads("revocations", revocations.follow, self._listener.run)

    def start(self) -> None:
        """Start once per process."""
        self._threads.start()

    def stop(self) -> None:
        """Stop following; the thread that listens ends within some seconds, or with the process."""
        self._threads.stopping.set()
        self._revocations.wake()

    def _on_message(self, _message: Any) -> None:
        self._revocations.wake()

    def _on_bound(self, _queue: Any) -> None:
        self._verify_at = time.monotonic() + verify_seconds()

    def _check(self, queue: Any) -> None:
        """Declare the queue again now and then: nobody is told when a binding is deleted."""
        if time.monotonic() >= self._verify_at:
            queue.declare()
            self._verify_at = time.monotonic() + verify_seconds()
