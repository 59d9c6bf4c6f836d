"""Event handlers for batches: one write and one acknowledgement for many events of a queue."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from eventlet.event import Event as Signal
from nameko.exceptions import ContainerBeingKilled

from libs import context, tracing
from libs.errors import Unavailable, log_failure
from libs.events.event import Event
from libs.events.handlers import EventHandler, Tried, about, log, traceparent_of, unreadable
from libs.events.topology import DELAYS_SECONDS

Method = TypeVar("Method", bound=Callable[..., Any])

BATCH = 100
ALONE_SECONDS = 10.0
"""How long the events of a failed batch are tried one by one; the rest are retried later."""


class Batch(list[dict[str, Any]]):
    """The bodies of events; `correlation_ids` are those of the work that caused each, None where unknown.

    `traceparents` are those of the spans in which each is handled, None without one (`libs.tracing`).
    """

    def __init__(
        self,
        bodies: Iterable[dict[str, Any]],
        correlation_ids: Sequence[str | None],
        traceparents: Sequence[str | None] | None = None,
    ) -> None:
        super().__init__(bodies)
        self.correlation_ids = correlation_ids
        self.traceparents = traceparents or [None] * len(self)


class BatchHandler(EventHandler):
    """Calls a method with a Batch of the bodies of events, oldest first: all that wait in one queue, BATCH at most.

    It handles one batch at a time, so events are handled in the order of their queue, except for retries. If the method
    fails on several events, it is called again with each of them alone, and only those that fail then are retried or
    parked: so it must be idempotent, and no event is held up by others. No event of a batch is acknowledged before all
    of them are handled, retried or parked. Otherwise as EventHandler.
    """

    most_at_once = BATCH

    def __init__(self, event: Event, delays_seconds: tuple[float, ...] = DELAYS_SECONDS, **kwargs: Any) -> None:
        super().__init__(event, delays_seconds, **kwargs)
        self._waiting: deque[Any] = deque()
        self._is_working = self._is_stopping = False

    def stop(self) -> None:
        """Start no other batch; the current one is finished and acknowledged, and the rest is left to the broker."""
        self._is_stopping = True
        super().stop()

    def received(self, message: Any) -> None:
        """Queue the message for the next batch."""
        self._waiting.append(message)
        if not self._is_working:
            self._is_working = True
            self.container.spawn_managed_thread(self._work_off, identifier=f"{self.queue.name}.work_off")

    def _work_off(self) -> None:
        try:
            while self._waiting and not self._is_stopping:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]
                # when the connection was lost, the broker delivers them again
                self._handle([message for message in batch if message.channel.connection])
        finally:
            self._is_working = False

    def _handle(self, batch: list[Any]) -> None:
        """Pass a batch to a worker, and wait until it is settled."""
        started, readable, bodies = time.monotonic(), [], []
        failed: list[Tried] = []
        for message in batch:
            try:
                bodies.append(self.load(message))
                readable.append(message)
            except Exception as error:  # noqa: BLE001 - see EventHandler
                failed.append((message, unreadable(error)))
        if not readable:
            self.settle(failed, started)
            return
        settled = Signal()
        spans = [self._begun(message, len(readable)) for message in readable]
        done = partial(self._batch_done, readable, bodies, spans, failed, started, settled)
        context_data: dict[str, Any] = {}
        if len(readable) == 1:
            context_data = about(readable[0]) | ({"span": partial(tracing.use_span, spans[0])} if spans[0] else {})
        idents = [about(message)["correlation_id"] for message in readable]
        taken = Batch(bodies, idents, [span and tracing.traceparent(span) for span in spans])
        try:
            self.container.spawn_worker(self, (taken,), {}, context_data=context_data, handle_result=done)
        except ContainerBeingKilled:
            for message in batch:
                self.consumer.requeue_message(message)
            return
        settled.wait()

    def _begun(self, message: Any, count: int) -> Any:
        """Return the span of a message that is handled with others, `count` in all; None without a trace."""
        if not (parent := traceparent_of(message)):
            return None
        name, attributes = self.traced(message)
        return tracing.start_span(parent, name, attributes | {"messaging.batch.message_count": count})

    def _batch_done(
        self,
        readable: list[Any],
        bodies: list[Any],
        spans: list[Any],
        failed: list[Tried],
        started: float,
        settled: Signal,
        worker_ctx: Any,
        result: Any,
        exc_info: Any,
    ) -> tuple[Any, Any]:
        error = exc_info[1] if exc_info else None
        if error is None or len(readable) == 1:
            tried = [(message, error) for message in readable]
        else:
            tried = self._try_alone(worker_ctx, readable, bodies, spans)
        for span, (_, failure) in zip(spans, tried, strict=True):
            tracing.end_span(span, failure)
        self.settle(failed + tried, started)
        settled.send()
        return result, exc_info

    def _try_alone(self, worker_ctx: Any, readable: list[Any], bodies: list[Any], spans: list[Any]) -> list[Tried]:
        """Call the method with each event alone, in order; return what became of each."""
        tried: list[Tried] = []
        method, until = getattr(worker_ctx.service, self.method_name), time.monotonic() + ALONE_SECONDS
        for message, body, span in zip(readable, bodies, spans, strict=True):
            error: Exception | None = None
            with context.work(about(message)["correlation_id"]) as ident, tracing.use_span(span):
                if time.monotonic() > until:
                    error = Unavailable("the events before it in its batch took too long to fail")
                else:
                    try:
                        method(Batch([body], [ident], [tracing.traceparent()]))
                    except Exception as failure:  # noqa: BLE001 - whatever it is, the others go on
                        error = failure
                        log_failure(log, failure, "%s failed", message.properties.get("message_id"))
            tried.append((message, error))
        return tried

    def acknowledge(self, messages: list[Any]) -> None:
        """Acknowledge all messages up to the last of these: whatever else came before it is settled by now."""
        if messages:
            self.consumer.ack_until(max(messages, key=lambda message: message.delivery_tag))


def handles_batches(*events: Event, delays_seconds: tuple[float, ...] = DELAYS_SECONDS) -> Callable[[Method], Method]:
    """Let a method handle lists of `events`, each list from the queue of one of them: see BatchHandler."""

    def register(method: Method) -> Method:
        for event in events:
            BatchHandler.decorator(event, delays_seconds=delays_seconds)(method)
        return method

    return register
