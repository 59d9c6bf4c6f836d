"""A collector of traces, for tests: an HTTP server that receives and keeps the spans of OpenTelemetry's exporters."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dev.testing import wait_for
from libs import tracing


@dataclass(frozen=True)
class Span:
    """A span as it was sent; ids in hexadecimal.

    `kind` is as in SPAN_KIND_SERVER, `parent` empty at a trace's root, `links` are the ids of spans.
    """

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    links: list[str]
    is_error: bool
    seconds: float


class Collector:
    """Listens at `url` while the block runs; `spans` are those received, in no order."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.spans = self.spans  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def span(self, name: str) -> Span:
        """Wait for a span of this name; return the first."""
        found: Span = wait_for(lambda: next((span for span in list(self.spans) if span.name == name), None), what=name)
        return found

    def traces(self) -> dict[str, list[Span]]:
        """Return the spans of each trace."""
        traces: dict[str, list[Span]] = {}
        for span in list(self.spans):
            traces.setdefault(span.trace, []).append(span)
        return traces


@contextmanager
def collecting(service: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Yield a collector to which this process, as `service`, exports its spans while the block runs."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        monkeypatch.setattr(tracing, "_tracer", None)
        tracing.set_up(service)
        assert tracing._tracer is not None
        yield collector
        tracing._tracer.stop()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf":
            self.server.spans += _spans(ExportTraceServiceRequest.FromString(body))  # type: ignore[attr-defined]
            self.send_response(200)
        else:
            self.send_response(400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _spans(request: Any) -> list[Span]:
    return [
        Span(
            service=_values(of.resource.attributes)["service.name"],
            name=span.name,
            kind=span.SpanKind.Name(span.kind),
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            attributes=_values(span.attributes),
            links=[link.span_id.hex() for link in span.links],
            is_error=span.status.code == 2,
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        )
        for of in request.resource_spans
        for scope in of.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
