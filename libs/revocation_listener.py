"""The background threads that keep a process's list of revocations current: one asks auth, one hears when to ask."""

import logging
import threading
import time
import uuid
from contextlib import suppress
from functools import partial
from typing import Any

from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer

from libs.amqp.connection import connection_to
from libs.errors import log_failure
from libs.revocations import Revocations
from libs.settings import verify_seconds

EXCHANGE = Exchange("auth.events", type="topic", durable=True, no_declare=True)  # auth's own
ROUTING_KEY = "SessionRevoked"
HEARTBEAT_SECONDS = 10
POLL_SECONDS = 1.0
PAUSES = (0.2, 0.5, 1.0)

log = logging.getLogger(__name__)


class RevocationListener:
    """Follows the revocations, and hastens that whenever auth's SessionRevoked arrives, whatever is in it."""

    def __init__(self, part: str, amqp_url: str, revocations: Revocations) -> None:
        self._part = part
        self._amqp_url = amqp_url
        self._revocations = revocations
        self._started = False
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start once per process; the gateway calls it from a request, so that it runs after gunicorn's fork."""
        if self._started:
            return
        with self._lock:
            if not self._started:
                for run in (partial(self._revocations.follow, self._stopping), self._run):
                    threading.Thread(target=run, name="revocations", daemon=True).start()
                self._started = True

    def stop(self) -> None:
        """Stop, within a second."""
        self._stopping.set()
        self._revocations.wake()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except Exception as error:  # without events the list is current within a second instead of at once
                failures = 0 if time.monotonic() - began > max(PAUSES) else failures + 1
                log_failure(log, error, "not listening for revoked sessions")
            self._stopping.wait(PAUSES[min(failures, len(PAUSES) - 1)])

    def _listen(self) -> None:
        name = f"{self._part}.{ROUTING_KEY}-{uuid.uuid4().hex}"
        queue = Queue(name, exchange=EXCHANGE, routing_key=ROUTING_KEY, exclusive=True, auto_delete=True, durable=False)
        with connection_to(self._amqp_url, HEARTBEAT_SECONDS) as connection:
            connection.ensure_connection(max_retries=1)
            with Consumer(connection, [queue], on_message=self._on_message, no_ack=True):
                self._follow(connection, queue(connection.default_channel))

    def _follow(self, connection: Connection, queue: Queue) -> None:
        """Consume until the connection breaks; declare the queue again now and then: a deleted binding is silent."""
        verify_at = time.monotonic() + verify_seconds()
        while not self._stopping.is_set():
            if time.monotonic() >= verify_at:
                queue.declare()
                verify_at = time.monotonic() + verify_seconds()
            connection.heartbeat_check()
            with suppress(TimeoutError):
                connection.drain_events(timeout=POLL_SECONDS)

    def _on_message(self, _message: Any) -> None:
        self._revocations.wake()
