"""OpenTelemetry's spans; imported only when an exporter is configured (`libs.tracing`)."""

import atexit
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.settings import trace_ratio, trace_sampler

Attributes = Mapping[str, Any]

NOTHING = Context()
KINDS = {"server": SpanKind.SERVER, "consumer": SpanKind.CONSUMER, "producer": SpanKind.PRODUCER}
W3C = TraceContextTextMapPropagator()
QUIET_SECONDS = 60.0
EXIT_MILLISECONDS = 2000
"""How long the end of a program waits for a collector that does not answer."""

log = logging.getLogger(__name__)


class Exporter(OTLPSpanExporter):
    """Sends spans, for ten seconds at most; logs how many were lost, once a minute at most."""

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


def _sampler() -> Sampler:
    """Return the sampler of our settings, whose defaults are not those of the SDK."""
    name = trace_sampler()
    roots = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF, "traceidratio": TraceIdRatioBased(trace_ratio())}
    root = roots[name.removeprefix("parentbased_")]
    return ParentBased(root) if name.startswith("parentbased_") else root


class Tracer:
    """Begins spans, and sends those that ended to OTEL_EXPORTER_OTLP_ENDPOINT by a thread of its own."""

    def __init__(self, service: str) -> None:
        resource = Resource.create({"service.name": service, "service.namespace": "ticketing"})
        provider = TracerProvider(_sampler(), resource, shutdown_on_exit=False)
        processor = Processor(Exporter())
        self.stop = atexit.register(processor.shutdown)
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("ticketing")

    def root(self, name: str, attributes: Attributes) -> Span | None:
        """Return the first span of a new trace, that of a request; None when the sampler leaves it out."""
        span = self._tracer.start_span(name, NOTHING, SpanKind.SERVER, attributes)
        return span if span.is_recording() else None

    def child(self, parent: Span, name: str, attributes: Attributes) -> Span:
        """Return the span of a call, under another of this process."""
        return self._tracer.start_span(name, set_span_in_context(parent, NOTHING), SpanKind.CLIENT, attributes)

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
        context = W3C.extract({"traceparent": parent}, NOTHING) if isinstance(parent, str) else NOTHING
        if context is NOTHING or not context:
            return None
        begun = None if since is None else int(since.timestamp() * 1e9)
        links = (Link(linked.get_span_context()),) if linked else ()
        span = self._tracer.start_span(name, context, KINDS[kind], attributes, links, begun)
        return span if span.is_recording() else None

    @staticmethod
    def traceparent(span: Span) -> str:
        """Return a span as W3C's traceparent."""
        about = span.get_span_context()
        return f"00-{about.trace_id:032x}-{about.span_id:016x}-{about.trace_flags:02x}"

    @staticmethod
    def fail(span: Span, error: str, is_fault: bool) -> None:
        """Record the error with which a span failed."""
        span.set_attribute("error.type", error)
        if is_fault:
            span.set_status(StatusCode.ERROR)
