"""Spans of our own, which OpenTelemetry's SDK sends; imported only where there is somebody to tell (`libs.tracing`).

The SDK's spans take several times as long to make: they check and lock what only this process's own code writes to.
"""

import atexit
import logging
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import getrandbits
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode, TraceFlags

from libs.settings import trace_ratio, trace_sampler

Attributes = Mapping[str, Any]

KINDS = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER, "producer": SpanKind.PRODUCER}
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""W3C's, as we write it: ours is the only one that is read."""
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNSET, FAULT = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
QUIET_SECONDS = 60.0
EXIT_MILLISECONDS = 2000
"""How long the end of a program waits for a collector that does not answer."""

log = logging.getLogger(__name__)


class Exporter(OTLPSpanExporter):
    """Sends spans, for ten seconds at most; says of those that are lost how many, but once a minute at most."""

    def __init__(self) -> None:
        super().__init__()
        self._lost, self._said_at = 0, float("-inf")
        for chatty in ("exporter", "sdk._shared_internal"):  # a line for each try, and for each span of a full queue
            logging.getLogger(f"opentelemetry.{chatty}").setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; return whether that succeeded."""
        result = super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            if time.monotonic() - self._said_at >= QUIET_SECONDS:
                log.warning("%s spans are lost: OTEL_EXPORTER_OTLP_ENDPOINT does not take them", self._lost)
                self._lost, self._said_at = 0, time.monotonic()
        return result


class Processor(BatchSpanProcessor):
    """Hands spans in batches to an exporter, in a thread of its own; while that is behind, the oldest are dropped."""

    def shutdown(self) -> None:
        """Export what is left, as far as that succeeds at once."""
        self._batch_processor.shutdown(EXIT_MILLISECONDS)


class Program(Resource):
    """Which program spans are of: there is one, so that none has to be compared by all that is known of it."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


class Place(NamedTuple):
    """Where a span is: OpenTelemetry's SpanContext, of a span that is sampled."""

    trace_id: int
    span_id: int
    is_remote: bool = False
    trace_flags: TraceFlags = SAMPLED
    trace_state: None = None


class Linked(NamedTuple):
    """A link to another span, as the exporter reads it."""

    context: Place
    attributes: None = None
    dropped_attributes: int = 0


class Span:
    """A sampled span, with the names by which the exporter reads it; `end` hands it over, and nothing changes it then.

    Times are nanoseconds since 1970.
    """

    events: Sequence[Any] = ()
    dropped_attributes = dropped_events = dropped_links = 0
    end_time: int | None = None
    status = UNSET

    def __init__(
        self,
        tracer: "Tracer",
        context: Place,
        parent: Place | None,
        kind: SpanKind,
        name: str,
        attributes: Attributes,
    ) -> None:
        self._tracer = tracer
        self.context = context
        self.parent = parent
        self.kind = kind
        self.name = name
        self.attributes = dict(attributes)
        self.links: Sequence[Linked] = ()
        self.start_time = time.time_ns()

    @property
    def resource(self) -> Resource:
        """Which program it is of."""
        return self._tracer.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """Which library made it."""
        return self._tracer.scope

    def get_span_context(self) -> Place:
        """Return where it is."""
        return self.context

    def traceparent(self) -> str:
        """Return where it is as W3C's traceparent."""
        return f"00-{self.context.trace_id:032x}-{self.context.span_id:016x}-01"

    def note(self, name: str, value: str | int) -> None:
        """Set an attribute."""
        if self.end_time is None:
            self.attributes[name] = value

    def fail(self, error: str, is_fault: bool) -> None:
        """Note what it failed with."""
        self.note("error.type", error)
        if is_fault:
            self.status = FAULT

    def end(self) -> None:
        """End it, and hand it over to be sent."""
        self.end_time = time.time_ns()
        self._tracer.send(self)


class Tracer:
    """Begins spans, and sends those that ended to OTEL_EXPORTER_OTLP_ENDPOINT by a thread of its own.

    As OpenTelemetry's samplers do, it tells by the lowest 64 bits of a trace's id whether that is sampled; what has a
    parent, by the parent's word, if our settings want that.
    """

    def __init__(self, service: str) -> None:
        known = Resource.create({"service.name": service, "service.namespace": "ticketing"})
        self.resource = Program(known.attributes)
        self.scope = InstrumentationScope("ticketing")
        name = trace_sampler()
        shares = {"always_on": 1.0, "always_off": 0.0, "traceidratio": trace_ratio()}
        self._sampled_below = TraceIdRatioBased.get_bound_for_rate(shares[name.removeprefix("parentbased_")])
        self._trusts_parents = name.startswith("parentbased_")
        processor = Processor(Exporter())
        self.send: Any = processor.on_end
        self.stop = atexit.register(processor.shutdown)

    def root(self, name: str, attributes: Attributes) -> Span | None:
        """Return the first span of a new trace, that of a request; None when that is not sampled."""
        trace_id = getrandbits(128)
        if not self._samples(trace_id):
            return None
        return Span(self, Place(trace_id, getrandbits(64)), None, SpanKind.SERVER, name, attributes)

    def child(self, parent: Span, name: str, attributes: Attributes) -> Span:
        """Return the span of a call, under another of this process."""
        place = Place(parent.context.trace_id, getrandbits(64))
        return Span(self, place, parent.context, SpanKind.CLIENT, name, attributes)

    def under(
        self,
        parent: object,
        kind: str,
        name: str,
        attributes: Attributes,
        since: datetime | None = None,
        linked: Span | None = None,
    ) -> Span | None:
        """Return a span under that of another process; None when `parent` is no traceparent, or is not sampled."""
        read = TRACEPARENT.fullmatch(parent) if isinstance(parent, str) else None
        if read is None:
            return None
        trace_id = int(read[1], 16)
        if not (int(read[3], 16) & SAMPLED if self._trusts_parents else self._samples(trace_id)):
            return None
        above = Place(trace_id, int(read[2], 16), is_remote=True)
        span = Span(self, Place(trace_id, getrandbits(64)), above, KINDS[kind], name, attributes)
        if since is not None:
            span.start_time = int(since.timestamp() * 1e9)
        if linked is not None:
            span.links = (Linked(linked.context),)
        return span

    def _samples(self, trace_id: int) -> bool:
        return trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < self._sampled_below
