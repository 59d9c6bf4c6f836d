"""The background thread that consumes auth's SessionRevoked, over its own connection."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from kombu.connection import Connection
from kombu.entity import Exchange, Queue
from kombu.messaging import Consumer

from gateway.revocations import Revocations
from libs.amqp.connection import connection_to
from libs.amqp.unread import require_readable

EXCHANGE = Exchange("auth.events", type="topic", durable=True)
ROUTING_KEY = "SessionRevoked"
HEARTBEAT_SECONDS = 2  # the broker sends one every half of this
POLL_SECONDS = 0.25
PAUSES = (0.2, 0.5, 1.0)

log = logging.getLogger(__name__)


class RevocationListener:
    """Keeps `revocations` current; `load()` returns auth's list and is called after each (re)connect."""

    def __init__(self, amqp_url: str, revocations: Revocations, load: Callable[[], Iterable[dict[str, Any]]]) -> None:
        self._amqp_url = amqp_url
        self._revocations = revocations
        self._load = load
        self._started = False
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start listening once per process; call it from a request, so that it runs after gunicorn's fork."""
        if self._started:
            return
        with self._lock:
            if not self._started:
                threading.Thread(target=self._run, name="revocations", daemon=True).start()
                self._started = True

    def stop(self) -> None:
        """Stop listening, within a quarter of a second."""
        self._stopping.set()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except Exception as error:  # broker or auth failed: until it is back, auth is asked for each session
                failures = 0 if time.monotonic() - began > max(PAUSES) else failures + 1
                log.warning("not listening for revoked sessions: %s", error or type(error).__name__)
            self._stopping.wait(PAUSES[min(failures, len(PAUSES) - 1)])

    def _listen(self) -> None:
        name = f"gateway.{ROUTING_KEY}-{uuid.uuid4().hex}"
        queue = Queue(name, exchange=EXCHANGE, routing_key=ROUTING_KEY, exclusive=True, auto_delete=True, durable=False)
        with connection_to(self._amqp_url, HEARTBEAT_SECONDS) as connection:
            connection.ensure_connection(max_retries=1)
            with Consumer(connection, [queue], on_message=self._on_message, no_ack=True, accept=["json"]):
                self._revocations.load(self._load())
                self._follow(connection)

    def _follow(self, connection: Connection) -> None:
        """Consume until the connection breaks; each frame, even a heartbeat, proves that no message is missing."""
        frames = None
        while not self._stopping.is_set():
            connection.heartbeat_check()
            with suppress(TimeoutError):
                connection.drain_events(timeout=POLL_SECONDS)
            received = connection.connection.bytes_recv  # py-amqp counts frames here, whatever the name says
            if received != frames:
                self._revocations.mark_current()
            frames = received

    def _on_message(self, message: Any) -> None:
        try:
            require_readable(message)
            self._revocations.handle_event(message.decode())
        except Exception:  # whichever session it is about is in auth's list, too
            log.exception("a revoked session cannot be read")
            self._revocations.load(self._load())
