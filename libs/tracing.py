"""Traces of OpenTelemetry: from a browser's request through calls, outboxes, events, jobs, webhooks and Stripe.

A trace begins with a request; whatever follows from that has spans under it, in whichever program. What begins by
itself (timers, probes) has none, nor has what follows from a request that the sampler left out. The current span is in
a context variable, which is empty in a new thread or greenlet: one that goes on with the work runs in a copy of the
context (`contextvars.copy_context`). Between programs it travels as W3C's `traceparent`.

Without OTEL_EXPORTER_OTLP_ENDPOINT nothing of OpenTelemetry is imported, and there is no span. Names and attributes
are those of its semantic conventions; none identifies a user, or contains what one typed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any

from libs.settings import trace_endpoint

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from libs import spans

HEADER = "traceparent"
"""The header of AMQP messages, and the name of what outboxes, jobs, payments and webhooks keep."""
Attributes = Mapping[str, Any]

_tracer: "spans.Tracer | None" = None
_current: "ContextVar[Span | None]" = ContextVar("span", default=None)


def set_up(service: str) -> bool:
    """Trace this process as `service`; return whether an exporter is configured. Call it after a fork."""
    global _tracer  # noqa: PLW0603 - one for each process, as the log
    if trace_endpoint():
        from libs import spans

        _tracer = spans.Tracer(service)
    return _tracer is not None


def traceparent(span: "Span | None" = None) -> str | None:
    """Return a span, by default the current one, as W3C's traceparent; None when there is none."""
    span = span or _current.get()
    return _tracer.traceparent(span) if _tracer and span else None


def messaging_attributes(
    operation: str, destination: str, ident: str | None, system: str = "rabbitmq"
) -> dict[str, Any]:
    """Return the attributes of a message's span; `operation`: send or process."""
    about = {"messaging.system": system, "messaging.operation.name": operation, "messaging.operation.type": operation}
    about["messaging.destination.name"] = destination
    return about | {"messaging.message.id": ident} if ident else about


@contextmanager
def request_span(name: str, attributes: Attributes, parent: object = None) -> "Iterator[Span | None]":
    """Run the block in the span of a request, in a new trace or under `parent`; yields it, or None without one.

    `parent` is a traceparent of our own: its sender decides what is sampled.
    """
    span = None
    if _tracer:
        span = _tracer.under(parent, "server", name, attributes) or _tracer.root(name, attributes)
    with _entered(span):
        yield span


@contextmanager
def consumer_span(
    parent: object, kind: str, name: str, attributes: Attributes, links_current: bool = False
) -> "Iterator[Span | None]":
    """Run the block in a span (`kind`: server or consumer) under that of another program, by its traceparent.

    Without one there is no span, and the current one stays. `links_current`: the new span has a link to that.
    """
    linked = _current.get() if links_current else None
    span = _tracer.under(parent, kind, name, attributes, linked=linked) if _tracer else None
    with _entered(span):
        yield span


@contextmanager
def client_span(name: str, attributes: Attributes) -> "Iterator[Span | None]":
    """Run the block in a span under the current one, that of a call to another program; without one there is none."""
    current = _current.get()
    with _entered(_tracer.child(current, name, attributes) if _tracer and current else None) as span:
        yield span


def start_span(parent: object, name: str, attributes: Attributes) -> "Span | None":
    """Return the span of a message that is handled with others: for `use_span` and `end_span`."""
    return _tracer.under(parent, "consumer", name, attributes) if _tracer else None


@contextmanager
def use_span(span: "Span | None") -> Iterator[None]:
    """Run the block in a span that has begun, which goes on then."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


def end_span(span: "Span | None", error: BaseException | None = None) -> None:
    """End a span of `start_span`."""
    if span:
        if error:
            record_error(span, error)
        span.end()


def record_send(parent: object, since: datetime, name: str, attributes: Attributes) -> str | None:
    """Record the sending of a message that has waited since then; return the traceparent for its headers, or None."""
    span = _tracer and _tracer.under(parent, "producer", name, attributes, since)
    if not span:
        return None
    span.end()
    return traceparent(span)


def record_error(span: "Span | None", error: BaseException, is_fault: bool = True) -> None:
    """Record the error of a span; one that a caller expects is no fault, nor is an error that a service returned."""
    if span and _tracer:
        answered = getattr(error, "traced_as", None)
        _tracer.fail(span, answered or type(error).__name__, is_fault and not answered)


def record_status(status: int) -> None:
    """Record the HTTP status of the answer to the request in the current span."""
    if span := _current.get():
        span.set_attribute("http.response.status_code", status)
        if status >= 500 and _tracer:
            _tracer.fail(span, str(status), True)


@contextmanager
def _entered(span: "Span | None") -> "Iterator[Span | None]":
    """Let a span be the current one while the block runs, and end it."""
    if span is None:
        yield None
        return
    token = _current.set(span)
    try:
        yield span
    except BaseException as error:
        record_error(span, error)
        raise
    finally:
        _current.reset(token)
        span.end()
