"""All work that follows from one click is one trace, in every program, with each span under its cause."""

import pytest

from conftest import SETTINGS
from dev.collector import Collector
from dev.stack import Stack, free_ports
from dev.testing import stack_folder, wait_for
from tests.e2e.people import Person, Sessions

pytestmark = pytest.mark.integration

WINDOW_SECONDS = 45


@pytest.fixture(scope="module")
def collector():
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def people(collector):
    """A seller and a buyer of a whole system that tells the collector what it does."""
    settings = {
        **SETTINGS,
        "RESERVATION_WINDOW_SECONDS": str(WINDOW_SECONDS),
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_SAMPLER": "parentbased_always_on",
    }
    with stack_folder() as folder, Stack(folder, free_ports(), environ=settings) as stack:
        sessions = Sessions(stack)
        yield [sessions.begin(Person(stack.gateway_url, name)) for name in ("ana", "bo")]


def trace_with(collector, order_id, *names):
    """Wait for the trace about an order with spans of these names, each of its spans but one under another."""

    def found():
        for trace in collector.traces().values():
            ids = {span.id for span in trace}
            roots = [span.parent for span in trace if span.parent not in ids]
            about = [span for span in trace if order_id in str(span.attributes.get("messaging.message.id"))]
            if about and set(names) <= {span.name for span in trace} and roots == [""]:
                return trace
        return None

    return wait_for(found, 60, f"a trace with {names}")


def parents(trace, name):
    """Return the names of the spans above those of this name, and in which services these are."""
    by_id = {span.id: span.name for span in trace}
    return {by_id.get(span.parent) for span in trace if span.name == name}


def test_purchase_is_one_trace_from_the_click_to_the_complete_order(collector, people):
    ana, bo = people
    order_id = bo.reserve(ana.list_ticket())
    assert bo.pay(order_id).status_code == 201

    trace = trace_with(
        collector,
        order_id,
        *(f"process {part}.OrderCompleted" for part in ("tickets", "payments", "expiration")),
        "receive payment_intent.succeeded",
    )
    services = {span.service for span in trace} - {"auth"}  # called now and then to check a session
    assert services == {"gateway", "orders", "payments", "tickets", "expiration"}
    assert parents(trace, "POST /api/payments") == {"POST /api/orders"}
    assert parents(trace, "orders.create") == {"POST /api/orders", "orders.create"}  # the caller's and the service's
    assert parents(trace, "send OrderCreated") == {"orders.create"}
    assert parents(trace, "process expiration.OrderCreated") == {"send OrderCreated"}
    assert parents(trace, "payments.pay") == {"POST /api/payments", "payments.pay"}
    assert "payments.pay" in parents(trace, "POST /v1/payment_intents")
    assert parents(trace, "process orders.PaymentAuthorized") == {"send PaymentAuthorized"}
    assert parents(trace, "send OrderAwaitingPayment") == {"process orders.PaymentAuthorized"}
    assert parents(trace, "POST /v1/payment_intents/ID/capture") <= {
        "process payments.OrderAwaitingPayment", "process payment_intent.amount_capturable_updated", "payments.pay"
    }  # fmt: skip
    assert parents(trace, "receive payment_intent.succeeded") == {"payments.pay"}
    assert parents(trace, "send OrderCompleted") == {"process orders.PaymentCreated"}
    assert not [span for span in trace if span.is_error]


def test_reservation_that_expires_is_one_trace_through_the_job_of_its_deadline(collector, people):
    ana, bo = people
    order_id = bo.reserve(ana.list_ticket())
    bo.wait_for_order(order_id, "cancelled", WINDOW_SECONDS + 60)

    # what cancels it may be the sweep, which begins by itself: then that is not traced
    trace = trace_with(collector, order_id, "process orders.ExpirationComplete")
    assert "worker" in {span.service for span in trace}
    assert parents(trace, "process expiration.complete") == {"process expiration.OrderCreated"}
    assert parents(trace, "send ExpirationComplete") == {"process expiration.complete"}
