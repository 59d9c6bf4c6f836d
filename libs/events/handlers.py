"""Event handlers: acknowledged after the effect, retried with backoff, then parked (dead-lettered)."""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from reprlib import Repr
from typing import Any, TypeVar

from amqp.serialization import dumps
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import Entrypoint, SharedExtension

from libs import context
from libs.alarms import alarm, is_alarming
from libs.amqp import BrokerUnavailable, Outgoing, Publisher
from libs.amqp.consumer import QueueConsumer
from libs.amqp.unread import require_readable
from libs.errors import Kind, kind_of, log_failure
from libs.events import topology
from libs.events.event import Event
from libs.events.topology import DELAYS_SECONDS
from libs.metrics import events_handled_seconds

log = logging.getLogger(__name__)

Method = TypeVar("Method", bound=Callable[..., Any])

REQUEUE_SECONDS = 1.0
"""How long a worker pauses before it requeues what it could neither retry nor park."""

MOST_ATTEMPTS = 10**9
ACTED_ON = ("x-death", "CC", "BCC")
LARGEST_HEADERS = 100_000
"""Bytes: they leave in one frame, with what we add, and a frame has 128 KiB at most."""
SHORTENED = Repr()
SHORTENED.maxdict, SHORTENED.maxstring, SHORTENED.maxother = 100, 500, 500


class Unreadable(Exception):
    """The message is not JSON, not of the catalogue's shape, or has unreadable properties: a retry cannot help."""


class EventPublisher(SharedExtension):
    """The one publisher of a service's handlers, for what is retried or parked."""

    def __init__(self) -> None:
        self.publisher: Publisher | None = None
        self.handlers: list[EventHandler] = []
        """Those of the service."""

    def setup(self) -> None:
        """Prepare the publisher; it connects when first used."""
        self.publisher = Publisher(self.container.config["AMQP_URI"], self._declare)

    def _declare(self, channel: Any) -> None:
        for handler in self.handlers:
            handler.declare_own(channel)

    def stop(self) -> None:
        """Close its connection."""
        if self.publisher:
            self.publisher.close()


class EventHandler(Entrypoint):
    """Calls a method with the body of each event, its times parsed: at-least-once delivery.

    `delays_seconds`: the backoff before each retry. An event that still fails after the last is parked in
    `<queue>.parked` with the reason, unless the error is no bug (libs.errors): then it is retried with the last delay
    for as long as that lasts, and each 20th failure raises an alarm. What cannot be decoded is parked at once.
    `is_slow`: the method waits for somebody outside (see `libs.amqp.container`).
    """

    consumer = QueueConsumer()
    retries = EventPublisher()

    def __init__(
        self, event: Event, delays_seconds: tuple[float, ...] = DELAYS_SECONDS, is_slow: bool = False, **kwargs: Any
    ) -> None:
        self.event = event
        self.is_slow = is_slow
        self.delays_seconds = delays_seconds
        self.queue: Any = None
        super().__init__(**kwargs)

    def setup(self) -> None:
        """Register with the queue consumer; the catalogue must name this service as a listener."""
        listener = self.container.service_name
        if listener not in self.event.listeners:
            raise ValueError(f"the catalogue does not name {listener} as a listener of {self.event.name}")
        self.queue = topology.listener_queue(listener, self.event)
        self.retries.handlers.append(self)
        self.consumer.register_provider(self)

    def stop(self) -> None:
        """Take no more events; those in progress are finished and acknowledged."""
        self.consumer.unregister_provider(self)

    def declare(self, channel: Any) -> None:
        """Declare what is this handler's own, and bind its queue to the exchange of the event's source."""
        self.declare_own(channel)
        topology.bind_consumed(channel, self.container.service_name, [self.event])

    def declare_own(self, channel: Any) -> None:
        """Declare the queue of this handler, and what it needs to retry and to park."""
        topology.declare_consumed(channel, self.container.service_name, [self.event])
        topology.declare_waits(channel, self.container.service_name, self.delays_seconds)

    def handle_message(self, message: Any) -> None:
        """Pass one message to a worker."""
        try:
            require_readable(message)
            body = self.event.load(json.loads(message.body))
        except Exception as error:  # noqa: BLE001 - JSON nested too deep, for example; raising would end the process
            with context.work((message.headers or {}).get("nameko.correlation_id")):
                outcome = self._settle(message, Unreadable(f"{type(error).__name__}: {error}"))
            events_handled_seconds.labels(self.queue.name, outcome).observe(0.0)
            return
        # no other header is passed on: a token, or one of the broker's own, must not travel with what the worker sends
        about = {"correlation_id": message.headers.get("nameko.correlation_id") or None}
        done = partial(self._done, message, time.monotonic())
        try:
            self.container.spawn_worker(self, (body,), {}, context_data=about, handle_result=done)
        except ContainerBeingKilled:
            self.consumer.requeue_message(message)

    def _done(self, message: Any, started: float, worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        outcome = self._settle(message, exc_info[1] if exc_info else None)
        seconds = time.monotonic() - started
        log.info("%s %s %s in %.3f s", self.queue.name, outcome, message.properties.get("message_id"), seconds)
        events_handled_seconds.labels(self.queue.name, outcome).observe(seconds)
        return result, exc_info

    def _settle(self, message: Any, error: BaseException | None) -> str:
        """Acknowledge the message, once a failed one is safe in another queue; requeue it when that is not possible.

        Returns its outcome: handled, retried, parked or returned.
        """
        try:
            outcome = "handled" if error is None else self._retry_or_park(message, error)
        except Exception as failure:  # noqa: BLE001 - raising here would end the process; the broker keeps the message
            log_failure(log, failure, "%s could be neither retried nor parked", message.properties.get("message_id"))
            time.sleep(REQUEUE_SECONDS)  # it is redelivered at once
            self.consumer.requeue_message(message)
            return "returned"
        self.consumer.ack_message(message)
        return outcome

    def _retry_or_park(self, message: Any, error: BaseException) -> str:
        listener, queue = self.container.service_name, self.queue.name
        attempt = _attempt(message.headers)
        delay = next_delay(error, attempt, self.delays_seconds)
        headers = {"x-failed-at": datetime.now(UTC).isoformat(), **_writable(message.headers)}
        headers |= {"x-attempt": attempt + 1, "x-reason": f"{type(error).__name__}: {error}"[:1000]}
        if delay is None:
            log.error("parked an event of %s after %s tries: %s", queue, attempt, headers["x-reason"])
            headers |= {"x-attempt": attempt, "x-queue": queue}
            copy = _copy(message, topology.parking_name(listener), topology.parked_name(queue), headers)
        else:
            if is_alarming(attempt):
                event = message.properties.get("message_id")
                alarm("event_stuck", f"{event} of {queue} has failed {attempt} times: {headers['x-reason']}")
            copy = _copy(message, topology.wait_name(listener, delay), queue, headers)
        assert self.retries.publisher is not None
        refused = self.retries.publisher.publish([copy])
        if refused:
            raise BrokerUnavailable(str(refused))
        return "parked" if delay is None else "retried"


def next_delay(error: BaseException, attempt: int, delays_seconds: tuple[float, ...]) -> float | None:
    """Return the seconds to wait after failed try number `attempt`, or None when the event is to be parked."""
    if isinstance(error, Unreadable):
        return None
    if attempt <= len(delays_seconds):
        return delays_seconds[attempt - 1]
    return delays_seconds[-1] if kind_of(error) is not Kind.BUG and delays_seconds else None


def _attempt(headers: dict[str, Any]) -> int:
    """Return the number of the try that this was; 1 when the header is missing or malformed."""
    attempt = headers.get("x-attempt")
    return min(max(attempt, 1), MOST_ATTEMPTS) if isinstance(attempt, int) else 1


def _writable(headers: dict[str, Any]) -> dict[str, Any]:
    """Return headers that came with a message; as text if they cannot be sent again, for not all that is read can be.

    Without those that the broker acts on: a forged x-death ends all its dead-lettering, and CC adds receivers.
    """
    headers = {name: value for name, value in headers.items() if name not in ACTED_ON}
    try:
        is_writable = len(dumps("F", [headers])) <= LARGEST_HEADERS
    except Exception:  # noqa: BLE001 - a number too large, for example: struct's error, or AttributeError
        is_writable = False
    return headers if is_writable else {"x-headers": SHORTENED.repr(headers)}


def _copy(message: Any, exchange: str, routing_key: str, headers: dict[str, Any]) -> Outgoing:
    properties = message.properties
    options = {"message_id": properties["message_id"]} if properties.get("message_id") else {}
    return Outgoing(
        exchange,
        routing_key,
        message.body,
        headers,
        content_type=message.content_type or "application/octet-stream",
        content_encoding=message.content_encoding or "binary",
        **options,
    )


def handles(
    *events: Event, delays_seconds: tuple[float, ...] = DELAYS_SECONDS, is_slow: bool = False
) -> Callable[[Method], Method]:
    """Let a method handle `events`, each from its own queue: see EventHandler."""

    def register(method: Method) -> Method:
        for event in events:
            EventHandler.decorator(event, delays_seconds=delays_seconds, is_slow=is_slow)(method)
        return method

    return register
