"""Event handlers: acknowledged after the effect, retried with backoff, then parked (dead-lettered)."""

import json
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from reprlib import Repr
from typing import Any, TypeVar

from amqp.serialization import dumps
from nameko.exceptions import ContainerBeingKilled
from nameko.extensions import Entrypoint, SharedExtension

from libs import context, tracing
from libs.alarms import alarm, is_alarming
from libs.amqp import BrokerUnavailable, Outgoing, Publisher
from libs.amqp.consumer import QueueConsumer
from libs.amqp.publisher import Blocked
from libs.amqp.raw_messages import require_readable
from libs.errors import Kind, is_refusal, kind_of, log_failure
from libs.events import topology
from libs.events.event import Event
from libs.events.topology import DELAYS_SECONDS
from libs.metrics import event_lag_seconds, events_handled_seconds

log = logging.getLogger(__name__)

Method = TypeVar("Method", bound=Callable[..., Any])

REQUEUE_SECONDS = 1.0
"""How long a worker pauses before it requeues a message that it could neither retry nor park."""

MOST_ATTEMPTS = 10**9
ACTED_ON = ("x-death", "CC", "BCC")
LARGEST_HEADERS = 100_000
"""Bytes: with what we add they must fit into one frame, which has 128 KiB at most."""
SHORTENED = Repr()
SHORTENED.maxdict, SHORTENED.maxstring, SHORTENED.maxother = 100, 500, 500


Tried = tuple[Any, BaseException | None]
"""A message, and the error with which its handling failed, if it did."""


class Unreadable(Exception):
    """The message is not JSON, not of the catalogue's shape, or has unreadable properties: a retry cannot help."""


class RetryPublisher(SharedExtension):
    """The publisher that all handlers of a service share, for events that are retried or parked."""

    def __init__(self) -> None:
        self.publisher: Publisher | None = None
        self.handlers: list[EventHandler] = []

    def setup(self) -> None:
        """Prepare the publisher; it connects when first used."""
        self.publisher = Publisher(self.container.config["AMQP_URI"], self._declare)

    def _declare(self, channel: Any) -> None:
        for handler in self.handlers:
            handler.declare_own(channel)

    def delays_of(self, handler: "EventHandler") -> list[float]:
        """Return the delays whose queues this handler declares: those that no handler before it has."""
        before = self.handlers[: self.handlers.index(handler)]
        return [delay for delay in handler.delays_seconds if not any(delay in each.delays_seconds for each in before)]

    def stop(self) -> None:
        """Close its connection."""
        if self.publisher:
            self.publisher.close()


class EventHandler(Entrypoint):
    """Calls a method with the body of each event, its times parsed: at-least-once delivery.

    `delays_seconds`: the backoff before each retry. An event that still fails after the last is parked in
    `<queue>.parked` with the reason, unless the error is no bug, or a refused login or right (libs.errors): then it is
    retried with the last delay for as long as that lasts, and each 20th failure raises an alarm. What cannot be decoded
    is parked at once.
    `is_slow`: the method waits for an external service (see `libs.amqp.container`).
    """

    consumer = QueueConsumer()
    retries = RetryPublisher()
    is_stopping = False

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
        self.is_stopping = True
        self.consumer.unregister_provider(self)

    def declare(self, channel: Any) -> None:
        """Declare what is this handler's own, and bind its queue to the exchange of the event's source."""
        self.declare_own(channel)
        topology.bind_consumed(channel, self.container.service_name, [self.event])

    def declare_own(self, channel: Any) -> None:
        """Declare this handler's queue and parking queue, and its delay queues unless a handler before it does."""
        topology.declare_consumed(channel, self.container.service_name, [self.event])
        topology.declare_waits(channel, self.container.service_name, self.retries.delays_of(self))

    def received(self, message: Any) -> None:
        """Pass a message to a worker: at once if one is free, else from a thread that waits for one."""
        if self.container.has_free_worker(self):
            self.handle_message(message)
        else:
            self._spawn(partial(self.handle_message, message))

    def handle_message(self, message: Any) -> None:
        """Pass a message to a worker, waiting until one is free."""
        started = time.monotonic()
        try:
            body = self.load(message)
        except Exception as error:  # noqa: BLE001 - JSON nested too deep, for example; raising would end the process
            self._spawn(partial(self.settle, [(message, unreadable(error))], started))
            return
        done = partial(self._done, message, started)
        try:
            self.container.spawn_worker(self, (body,), {}, context_data=self._context(message), handle_result=done)
        except ContainerBeingKilled:
            self.consumer.requeue_message(message)

    def _spawn(self, run: Callable[[], None]) -> None:
        self.container.spawn_managed_thread(run, identifier=f"{self.queue.name}.handle_message")

    def load(self, message: Any) -> dict[str, Any]:
        """Return the body of a message; whatever it raises, the message is unreadable."""
        require_readable(message)
        return self.event.load(json.loads(message.body))

    def _context(self, message: Any) -> dict[str, Any]:
        parent = traceparent_of(message)
        span = {"span": partial(tracing.consumer_span, parent, "consumer", *self.traced(message))} if parent else {}
        return about(message) | span

    def traced(self, message: Any) -> tuple[str, dict[str, Any]]:
        """Return the name and the attributes of the span in which a message is handled."""
        name, ident = self.queue.name, message.properties.get("message_id")
        return f"process {name}", tracing.messaging_attributes("process", name, ident)

    def _done(self, message: Any, started: float, worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        self.settle([(message, exc_info[1] if exc_info else None)], started)
        return result, exc_info

    def settle(self, tried: list[Tried], started: float) -> None:
        """Retry or park the failed messages, then acknowledge all; requeue those for which that fails.

        Never raises: that would end the process, and the broker keeps the messages.
        """
        requeued = self._retry_or_park_all([(message, error) for message, error in tried if error is not None], started)
        for message in requeued:
            self.consumer.requeue_message(message)
        self.acknowledge([message for message, _ in tried if message not in requeued])
        for message, error in tried:
            if error is None:  # each line has the correlation id of its event
                with nullcontext() if len(tried) == 1 else context.work(about(message)["correlation_id"]):
                    self._note(message, "handled", started)

    def acknowledge(self, messages: list[Any]) -> None:
        """Acknowledge messages that are settled."""
        for message in messages:
            self.consumer.ack_message(message)

    def _retry_or_park_all(self, failed: list[tuple[Any, BaseException]], started: float) -> list[Any]:
        """Retry or park each failed message; return, after a pause, those for which that was impossible."""
        requeued: list[Any] = []
        for message, error in failed:
            with context.work(about(message)["correlation_id"]):
                try:
                    outcome = self._retry_or_park(message, error)
                except Exception as failure:  # noqa: BLE001 - see `settle`
                    ident = message.properties.get("message_id")
                    log_failure(log, failure, "%s could be neither retried nor parked", ident)
                    outcome = "requeued"
                    requeued.append(message)
                self._note(message, outcome, started)
        if requeued:
            time.sleep(REQUEUE_SECONDS)  # they are redelivered at once
        return requeued

    def _note(self, message: Any, outcome: str, started: float) -> None:
        seconds, ident = time.monotonic() - started, message.properties.get("message_id")
        log.info("%s %s %s in %.3f s", self.queue.name, outcome, ident, seconds)
        events_handled_seconds.labels(self.queue.name, outcome).observe(seconds)
        saved_at = (message.headers or {}).get(topology.SAVED_AT)
        if outcome == "handled" and isinstance(saved_at, int):
            event_lag_seconds.labels(self.queue.name).observe(max(0.0, time.time() - saved_at / 1000))

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
        if refused := self._publish(copy):
            raise BrokerUnavailable(str(refused))
        return "parked" if delay is None else "retried"

    def _publish(self, copy: Outgoing) -> dict[str, str]:
        """Publish a copy, once the broker no longer blocks publishers, or this service is to stop.

        A quorum queue would park what is requeued a hundred times.
        """
        assert self.retries.publisher is not None
        while True:
            try:
                return self.retries.publisher.publish([copy])
            except Blocked:
                if self.is_stopping:
                    raise
                time.sleep(REQUEUE_SECONDS)


def about(message: Any) -> dict[str, Any]:
    """Return the context that a worker gets from a message's headers.

    No other header is passed on: neither a token nor a header of the broker's may travel with what the worker sends.
    """
    return {"correlation_id": (message.headers or {}).get("nameko.correlation_id") or None}


def traceparent_of(message: Any) -> object:
    """Return the traceparent that came with a message, if any did."""
    return (message.headers or {}).get(tracing.HEADER)


def unreadable(error: Exception) -> Unreadable:
    """Return the error of a message that could not be read because of `error`."""
    return Unreadable(f"{type(error).__name__}: {error}")


def next_delay(error: BaseException, attempt: int, delays_seconds: tuple[float, ...]) -> float | None:
    """Return the seconds to wait after failed try number `attempt`, or None when the event is to be parked."""
    if isinstance(error, Unreadable):
        return None
    if attempt <= len(delays_seconds):
        return delays_seconds[attempt - 1]
    may_get_better = kind_of(error) is not Kind.BUG or is_refusal(error)
    return delays_seconds[-1] if may_get_better and delays_seconds else None


def _attempt(headers: dict[str, Any]) -> int:
    """Return the number of the try that this was; 1 when the header is missing or malformed."""
    attempt = headers.get("x-attempt")
    return min(max(attempt, 1), MOST_ATTEMPTS) if isinstance(attempt, int) else 1


def _writable(headers: dict[str, Any]) -> dict[str, Any]:
    """Return a message's headers, to be sent again; as text if they cannot be: not all that is read can be sent.

    Headers that the broker acts on are left out: a forged x-death ends all its dead-lettering, and CC adds receivers.
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
