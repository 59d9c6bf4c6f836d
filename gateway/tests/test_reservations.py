"""Requests for a taken ticket are decided in batches, and answered as if each had been alone."""

import pytest

from gateway.reservations import TAKEN_SECONDS, Refusals, ReservationRequest
from libs.rpc import RemoteError, ServiceUnavailable

REFUSAL = ("TicketReserved", "This ticket is reserved.", {})


def reserve(browser, ticket, key=None):
    return browser.post("/api/orders", json={"ticketId": ticket["id"]}, headers={"Idempotency-Key": key} if key else {})


def methods(services):
    return [method for method, *_ in services.calls if method.startswith("orders.")]


@pytest.fixture
def cy(sign_up):
    return sign_up("cy")


def test_who_comes_after_the_ticket_is_taken_is_refused_as_before_at_the_cost_of_a_shared_read(
    services, bo, cy, ticket
):
    reserve(bo, ticket)
    services.calls.clear()

    answer = reserve(cy, ticket)

    assert (answer.status_code, answer.json["errors"][0]["message"][:23]) == (409, "This ticket is reserved")
    assert methods(services) == ["orders.refusals"]
    assert "Set-Cookie" not in answer.headers  # nothing has changed that this session would have to see


def test_the_buyer_who_holds_the_ticket_is_led_to_the_order(bo, ticket):
    order = reserve(bo, ticket).json

    assert reserve(bo, ticket).json["errors"][0]["orderId"] == order["id"]


def test_the_buyer_who_repeats_a_request_gets_the_same_order_also_after_it_lapsed(services, bo, cy, ticket):
    order = reserve(bo, ticket, key="k1").json
    again = reserve(bo, ticket, key="k1").json
    services.end(services.orders[order["id"]], "expired")
    reserve(cy, ticket)

    after = reserve(bo, ticket, key="k1")

    assert (again["id"], after.status_code, after.json["id"]) == (order["id"], 201, order["id"])


def test_a_ticket_that_is_on_sale_again_is_reserved_at_once(services, bo, cy, ticket):
    order = reserve(bo, ticket).json
    assert reserve(cy, ticket).status_code == 409
    services.end(services.orders[order["id"]], "expired")

    assert reserve(cy, ticket).status_code == 201


@pytest.mark.parametrize(
    ("failure", "status"), [(ServiceUnavailable("no answer in time"), 503), (RemoteError("MethodNotFound"), 409)]
)
def test_orders_of_the_version_before_answers_each_and_one_that_is_away_nobody(
    services, monkeypatch, bo, cy, ticket, failure, status
):
    def fail(*_, **__):
        raise failure

    reserve(bo, ticket)
    monkeypatch.setattr(services, "orders_refusals", fail)

    answer = reserve(cy, ticket)

    assert answer.status_code == status
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_after_a_while_a_ticket_is_no_longer_expected_to_be_refused():
    now, asked = [0.0], []
    refusals = Refusals(lambda wishes: asked.append(wishes) or [REFUSAL] * len(wishes), lambda: now[0])
    refusals.note_taken("t1")
    with pytest.raises(RemoteError, match="TicketReserved"):
        refusals.check(ReservationRequest("t1", "cy", None))
    now[0] = TAKEN_SECONDS + 1

    refusals.check(ReservationRequest("t1", "cy", None))

    assert len(asked) == 1
