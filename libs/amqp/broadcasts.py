"""Listening to a service's broadcasts: each process has a queue of its own, which ends with its connection."""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer

from libs.amqp.connection import connected
from libs.errors import log_failure
from libs.settings import verify_seconds

HEARTBEAT_SECONDS = 10
POLL_SECONDS = 4.0
"""How often to check whether a heartbeat is due; one is after half of HEARTBEAT_SECONDS."""
PAUSES = (0.2, 0.5, 1.0)

log = logging.getLogger(__name__)


class BroadcastListener:
    """Passes each message of `exchange` with a `routing_key` to `on_message`, and reconnects after any failure.

    `on_bound()` is called when a new queue is bound, before its first message; `on_declared()` then, and whenever the
    queue has been declared again, which is every BROKER_VERIFY_SECONDS, as the broker does not report a deleted
    binding; `check()` at least every `check_seconds`. If any of them raises, the listener starts over with a new queue.
    """

    def __init__(
        self,
        name: str,
        amqp_url: str,
        exchange: str,
        routing_key: str,
        on_message: Callable[[Any], Any],
        *,
        on_bound: Callable[[], object] = lambda: None,
        on_declared: Callable[[], object] = lambda: None,
        check: Callable[[], object] = lambda: None,
        check_seconds: float = POLL_SECONDS,
    ) -> None:
        self._name = name
        self._amqp_url = amqp_url
        self._exchange = Exchange(exchange, type="topic", durable=True, no_declare=True)  # its publisher's own
        self._routing_key = routing_key
        self._on_message = on_message
        self._on_bound = on_bound
        self._on_declared = on_declared
        self._check = check
        self._verify_seconds = verify_seconds()
        self._poll_seconds = min(check_seconds, self._verify_seconds, POLL_SECONDS)

    def run(self, stopping: threading.Event) -> None:
        """Listen until `stopping` is set, and until the next check; for a thread of its own."""
        failures = 0
        while not stopping.is_set():
            began = time.monotonic()
            try:
                self._listen(stopping)
            except Exception as error:  # noqa: BLE001 - this thread must not end
                failures = 0 if time.monotonic() - began > max(PAUSES) else failures + 1
                if not stopping.is_set():
                    log_failure(log, error, "not listening to %s", self._name)
            stopping.wait(PAUSES[min(failures, len(PAUSES) - 1)])

    def _listen(self, stopping: threading.Event) -> None:
        name = f"{self._name}-{uuid.uuid4().hex}"
        queue = Queue(
            name, self._exchange, self._routing_key, exclusive=True, auto_delete=True, durable=False, no_ack=True
        )
        with (
            connected(self._amqp_url, HEARTBEAT_SECONDS) as connection,
            Consumer(connection, [queue], on_message=self._on_message, no_ack=True),
        ):
            self._follow(connection, queue(connection.default_channel), stopping)

    def _follow(self, connection: Connection, queue: Any, stopping: threading.Event) -> None:
        self._on_bound()
        verify_at = 0.0
        while not stopping.is_set():
            if time.monotonic() >= verify_at:
                queue.declare()
                verify_at = time.monotonic() + self._verify_seconds
                self._on_declared()
            self._check()
            connection.heartbeat_check()
            with suppress(TimeoutError):
                connection.drain_events(timeout=self._poll_seconds)
