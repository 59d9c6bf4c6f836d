"""The spans of requests, as a collector gets them."""

import pytest

from gateway.app import create_app
from gateway.tests import conftest
from gateway.tests.fakes import SETTINGS, FakeServices
from libs import tracing

pytestmark = pytest.mark.integration  # a collector of its own

FROM_OUTSIDE = f"00-{'a' * 32}-{'b' * 16}-01"


class TracedServices(FakeServices):
    """Services that note the traceparent with which each method was called."""

    def __init__(self):
        super().__init__()
        self.traceparents = {}

    def call(self, service, method, *arguments, **options):
        self.traceparents[f"{service}.{method}"] = tracing.traceparent()
        return super().call(service, method, *arguments, **options)


@pytest.fixture
def services():
    return TracedServices()


@pytest.fixture
def app(traced, services, revocations):
    app = create_app(services, SETTINGS, revocations)
    app.test_client_class = conftest.Browser
    return app


def test_span_of_a_request_is_named_by_its_route_and_says_how_it_was_answered(traced, client):
    client.get("/api/tickets/" + "0" * 24, headers={"X-Request-Id": "asked-by-the-browser"})

    span = traced.span("GET /api/tickets/<ticket_id>")
    assert (span.kind, span.is_error, span.service) == ("SPAN_KIND_SERVER", False, "gateway")
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/tickets/<ticket_id>",
        "url.path": "/api/tickets/" + "0" * 24,
        "http.response.status_code": 404,
        "ticketing.correlation_id": "asked-by-the-browser",
    }


def test_what_clients_make_up_names_no_span_and_is_in_none(traced, client):
    client.open("/bo@example.com/reset?token=secret", method="FROB")

    span = traced.span("_OTHER")
    assert (span.attributes["http.request.method"], span.attributes["http.response.status_code"]) == ("_OTHER", 404)
    assert "bo@" not in str(span) and "secret" not in str(span)


def test_request_that_fails_is_an_error(traced, services, client):
    services.unavailable.add("tickets")
    client.get("/api/tickets/" + "0" * 24)

    span = traced.span("GET /api/tickets/<ticket_id>")
    assert (span.is_error, span.attributes["error.type"]) == (True, "503")


def test_trace_of_a_stranger_is_not_joined(traced, client):
    client.get("/api/tickets", headers={"traceparent": FROM_OUTSIDE, "tracestate": "a=b", "baggage": "a=b"})

    span = traced.span("GET /api/tickets")
    assert span.parent == "" and span.trace != "a" * 32 and not span.links


def test_stranger_cannot_have_a_request_traced_that_is_not_sampled(traced, client, monkeypatch):
    tracing._tracer.stop()
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    tracing.set_up("gateway")

    client.get("/api/tickets", headers={"traceparent": FROM_OUTSIDE})
    tracing._tracer.stop()

    assert traced.spans == []


def test_paying_goes_on_with_the_trace_of_the_reservation(traced, services, bo, ticket):
    order = bo.post("/api/orders", json={"ticketId": ticket["id"]}).json
    bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})

    reserved, paid = traced.span("POST /api/orders"), traced.span("POST /api/payments")
    assert (paid.trace, paid.parent) == (reserved.trace, reserved.id)
    assert services.traceparents["payments.pay"][3:52] == f"{paid.trace}-{paid.id}"


def test_only_what_is_done_about_the_order_goes_on_with_its_trace(traced, ana, bo):
    tickets = [ana.post("/api/tickets", json={"title": "Hamlet", "price": 19.99}).json for _ in range(2)]
    older, newer = (bo.post("/api/orders", json={"ticketId": ticket["id"]}).json for ticket in tickets)
    bo.get(f"/orders/{newer['id']}")
    bo.submit(f"/orders/{older['id']}", f"/orders/{older['id']}/extend")
    bo.delete(f"/api/orders/{newer['id']}")

    assert traced.span("GET /orders/<order_id>").parent == traced.span("POST /orders/<order_id>/extend").parent == ""
    cancelled = traced.span("DELETE /api/orders/<order_id>")
    assert cancelled.parent in [span.id for span in traced.spans if span.name == "POST /api/orders"]


@pytest.mark.parametrize(
    "body", ["{}", "[]", "{", "null", "[" * 100_000], ids=["empty", "list", "cut", "null", "nested"]
)
def test_payment_without_an_order_is_refused_whatever_stands_in_its_body(traced, bo, ticket, body):
    bo.post("/api/orders", json={"ticketId": ticket["id"]})

    assert bo.post("/api/payments", data=body, content_type="application/json").status_code == 400
    assert traced.span("POST /api/payments").parent == ""


def test_paying_another_order_than_the_newest_that_was_sampled_is_another_trace(traced, ana, bo, monkeypatch):
    tickets = [ana.post("/api/tickets", json={"title": "Hamlet", "price": 19.99}).json for _ in range(2)]
    bo.post("/api/orders", json={"ticketId": tickets[0]["id"]})
    with monkeypatch.context() as unsampled:
        unsampled.setattr(tracing, "traceparent", lambda: None)
        newer = bo.post("/api/orders", json={"ticketId": tickets[1]["id"]}).json

    bo.post("/api/payments", json={"orderId": newer["id"], "token": "tok_visa"})

    assert traced.span("POST /api/payments").parent == ""


def test_spans_say_nothing_of_who_one_is_or_what_one_types(traced, client, bo, ticket):
    client.post("/api/users/signup", json={"email": "eve@example.com", "password": "correct horse 1"})
    order = bo.post("/api/orders", json={"ticketId": ticket["id"]}, headers={"Idempotency-Key": "key-of-bo"}).json
    bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})
    bo.get("/api/tickets?q=typed+words")
    traced.span("GET /api/tickets")

    told = str(traced.spans)
    for secret in ("eve", "correct", "bo@", "tok_", "key-of", "typed", "127.0.0.1", "ticketing-session"):
        assert secret not in told


def test_probes_and_static_files_are_not_traced(traced, client):
    client.get("/healthz")
    client.get("/static/x/site.css")
    client.get("/api/tickets")

    traced.span("GET /api/tickets")
    assert [span.name for span in traced.spans] == ["GET /api/tickets"]
