"""Spans as a collector gets them, from one process; tests/slow/test_traces.py has those of a whole system."""

import logging
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from types import SimpleNamespace

import eventlet
import gevent
import pytest
from marshmallow import Schema, fields

from dev.collector import collecting
from dev.testing import ROOT, wait_for
from libs import tracing
from libs.clock import utc_now
from libs.events.aggregates import pending_event
from libs.events.batches import BatchHandler
from libs.events.claims import Claim
from libs.events.event import Event
from libs.rpc import RemoteError

pytestmark = pytest.mark.integration  # processes and servers of their own

BAKED = Event("CakeBaked", "bakery", ("shop",), Schema.from_dict({"id": fields.Str(), "version": fields.Int()})())
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def test_no_program_imports_anything_of_opentelemetry_while_nobody_asks_for_traces():
    program = (
        "import sys, libs.service, nameko.cli.run, gateway.app\n"
        "import auth.service, tickets.service, orders.service, payments.service\n"
        "import ops.broker_setup, ops.health, ops.__main__\n"
        "assert 'redis' not in sys.modules\n"  # which imports OpenTelemetry by itself, were it not for expiration
        "import expiration.service, expiration.scheduler, expiration.worker, ops.migrate\n"
        "assert 'pkg_resources' not in sys.modules\n"  # which nameko's own command line imports
        "from libs import tracing\n"
        "assert not tracing.set_up('gateway')\n"
        "with tracing.request_span('GET', {}), tracing.client_span('x', {}): assert tracing.traceparent() is None\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google.'))])"
    )
    settings = {"PATH": "", "OTEL_EXPORTER_OTLP_ENDPOINT": " ", "OTEL_TRACES_SAMPLER_ARG": "1"}
    command = [sys.executable, "-W", "ignore", "-c", program]

    assert subprocess.run(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True).stdout == "[]\n"


def test_each_span_of_a_request_is_under_what_caused_it(traced):
    with tracing.request_span("POST /cakes", {"http.route": "/cakes"}):
        tracing.record_status(201)
        with tracing.client_span("bakery.bake", {"rpc.method": "bakery.bake"}):
            call = tracing.traceparent()
    with tracing.consumer_span(call, "server", "bakery.bake served", {}):
        pending = pending_event(BAKED, {"id": "c1", "version": 1})
    message = Claim("c1", [pending]).message("bakery")
    with tracing.consumer_span(message.headers["traceparent"], "consumer", "process shop.CakeBaked", {}):
        pass

    names = ["POST /cakes", "bakery.bake", "bakery.bake served", "send CakeBaked", "process shop.CakeBaked"]
    spans = [traced.span(name) for name in names]
    assert [each.parent for each in spans] == ["", *(each.id for each in spans[:-1])]
    assert len({each.trace for each in spans}) == 1
    kinds = ["SERVER", "CLIENT", "SERVER", "PRODUCER", "CONSUMER"]
    assert [each.kind.removeprefix("SPAN_KIND_") for each in spans] == kinds
    assert spans[3].attributes["messaging.message.id"] == "CakeBaked:c1:1" and spans[0].service == "bakery"


def test_events_that_are_handled_together_are_each_in_the_trace_of_their_own(traced):
    parents = [f"00-{digit * 32}-{'b' * 16}-01" for digit in "12"]
    messages = [SimpleNamespace(headers={"traceparent": parent}, properties={}) for parent in parents]
    taken = handle_together([*messages, SimpleNamespace(headers={}, properties={})])

    spans = wait_for(lambda: len(traced.spans) == 2 and traced.spans)
    assert {span.trace: span.id for span in spans} == {each[3:35]: each[36:52] for each in taken.traceparents[:2]}
    assert [span.attributes["messaging.batch.message_count"] for span in spans] == [3, 3]
    assert taken.traceparents[2] is None


def handle_together(messages):
    """Let a handler of batches handle these messages; return the batch that its method gets."""
    taken = []

    def spawn(entrypoint, args, kwargs, context_data, handle_result):
        taken.extend(args)
        assert "span" not in context_data  # what is saved together belongs to no one's trace
        handle_result(None, None, None)

    handler = object.__new__(BatchHandler)
    handler.queue, handler.container = SimpleNamespace(name="shop.CakeBaked"), SimpleNamespace(spawn_worker=spawn)
    handler.load, handler.settle = (lambda message: {}), (lambda tried, started: None)
    handler._handle(messages)
    return taken[0]


@pytest.mark.parametrize("begin", [lambda run: threading.Thread(target=run).start(), gevent.spawn, eventlet.spawn])
def test_new_thread_or_greenlet_goes_on_with_a_span_only_in_a_copy_of_the_context(traced, begin):
    seen = []

    def look():
        seen.append(tracing.traceparent())

    with tracing.request_span("GET", {}):
        for run in (look, partial(copy_context().run, look)):
            begin(run)
        own = tracing.traceparent()
        gevent.sleep()
        eventlet.sleep()

    assert wait_for(lambda: len(seen) == 2) and set(seen) == {None, own}


def test_what_a_service_refused_is_no_fault_and_what_broke_is(traced):
    with tracing.request_span("GET", {}):
        for name, error in (("refused", RemoteError("TicketReserved", "bo@example.com")), ("broken", OSError("tok_1"))):
            with suppress(RemoteError, OSError), tracing.client_span(name, {}):
                raise error

    refused, broken = traced.span("refused"), traced.span("broken")
    assert (refused.attributes, refused.is_error) == ({"error.type": "TicketReserved"}, False)
    assert (broken.attributes, broken.is_error) == ({"error.type": "OSError"}, True)


@pytest.mark.parametrize(
    "parent",
    [None, "", "nonsense", 7, f"00-{'0' * 32}-{'b' * 16}-01", TRACEPARENT * 9, b"\xff", TRACEPARENT[:-1] + "0"],
)
def test_what_comes_without_the_traceparent_of_a_sampled_span_has_no_span(traced, parent):
    with tracing.consumer_span(parent, "server", "bakery.bake", {}) as begun:
        assert begun is None and tracing.traceparent() is None
    assert tracing.record_send(parent, utc_now(), "send CakeBaked", {}) is None


def test_calls_outside_of_a_request_are_not_traced(traced):
    with tracing.client_span("bakery.bake", {}) as begun:
        assert begun is None


def test_one_request_in_ten_is_traced_unless_a_setting_says_otherwise(monkeypatch):
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    monkeypatch.delenv("OTEL_TRACES_SAMPLER_ARG", raising=False)

    assert 15 < traced_of_500(monkeypatch) < 100
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    assert 15 < traced_of_500(monkeypatch) < 100
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    assert 180 < traced_of_500(monkeypatch) < 320
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert traced_of_500(monkeypatch) == 0


def traced_of_500(monkeypatch):
    """Return how many of 500 requests are traced; each of those that are sends their calls' spans too."""
    with collecting("bakery", monkeypatch) as collector:
        for _ in range(500):
            with tracing.request_span("GET", {}), tracing.client_span("call", {}) as called:
                assert bool(tracing.traceparent()) == bool(called)
        tracing._tracer.stop()
        assert {len(trace) for trace in collector.traces().values()} <= {2}
        return len(collector.traces())


def test_request_that_is_not_sampled_leads_to_no_span_and_what_a_sampled_one_leads_to_does(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    with collecting("bakery", monkeypatch) as collector:
        with tracing.request_span("not sampled", {}), tracing.client_span("nor what follows", {}):
            assert tracing.traceparent() is None
        with tracing.consumer_span(TRACEPARENT, "server", "sampled", {}):
            pass

        assert collector.span("sampled").trace == "a" * 32
        assert [each.name for each in collector.spans] == ["sampled"]


def test_while_the_collector_is_away_nothing_waits_and_one_line_says_so(traced, monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://{}:{}".format(*address))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100")
    tracing.set_up("bakery")
    began = time.monotonic()

    with caplog.at_level(logging.DEBUG):
        for _ in range(1000):
            with tracing.request_span("GET", {}):
                pass
        took = time.monotonic() - began
        wait_for(lambda: caplog.messages)
        tracing._tracer.stop()

    assert took < 5
    lost = [message for message in caplog.messages if "connectionpool" not in message and "Starting new" not in message]
    assert lost == ["100 spans are lost: OTEL_EXPORTER_OTLP_ENDPOINT does not take them"]


def test_program_ends_in_time_while_the_collector_does_not_answer():
    program = (
        "from libs import tracing; tracing.set_up('bakery')\n"
        "for _ in range(600):\n    with tracing.request_span('GET', {}): pass"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = "http://{}:{}".format(*silent.getsockname())
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": "always_on"}
        settings["OTEL_EXPORTER_OTLP_TIMEOUT"] = "600"
        command = [sys.executable, "-c", program]
        ended = subprocess.run(
            command, cwd=ROOT, env=settings, timeout=25, check=False
        )  # the SDK's own way takes thirty

    assert ended.returncode == 0
