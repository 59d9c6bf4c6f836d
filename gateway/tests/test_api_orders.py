"""Orders and payments over the JSON API."""

import threading
import time

import pytest

from gateway import checkout
from libs.rpc import RemoteError

FIELDS = {"id", "status", "cancelReason", "userId", "expiresAt", "ticket", "version", "createdAt", "updatedAt"}


@pytest.fixture
def order(bo, ticket):
    """Bo's order for Ana's ticket."""
    return bo.post("/api/orders", json={"ticketId": ticket["id"]}).json


def test_order_shows_its_ticket_and_deadline(bo, ticket):
    answer = bo.post("/api/orders", json={"ticketId": ticket["id"], "version": 1})

    assert answer.status_code == 201
    assert set(answer.json) >= FIELDS
    assert answer.json["ticket"]["price"] == 19.99
    assert (answer.json["status"], answer.json["cancelReason"]) == ("created", None)


def test_same_idempotency_key_gives_the_same_order(bo, ticket):
    answers = [
        bo.post("/api/orders", json={"ticketId": ticket["id"]}, headers={"Idempotency-Key": "once"}) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json["id"] == answers[1].json["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "é"])
def test_invalid_idempotency_key_is_refused(bo, ticket, key):
    answer = bo.post("/api/orders", json={"ticketId": ticket["id"]}, headers={"Idempotency-Key": key})

    assert answer.status_code == 400


def test_reserved_ticket_cannot_be_ordered(sign_up, order, ticket):
    cy = sign_up("cy")

    assert cy.post("/api/orders", json={"ticketId": ticket["id"]}).status_code == 409


def test_buyer_who_orders_a_ticket_again_is_told_the_order_that_has_it(bo, order, ticket):
    answer = bo.post("/api/orders", json={"ticketId": ticket["id"]})

    assert (answer.status_code, answer.json["errors"][0]["orderId"]) == (409, order["id"])


def test_own_ticket_cannot_be_ordered(ana, ticket):
    assert ana.post("/api/orders", json={"ticketId": ticket["id"]}).status_code == 403


def test_changed_price_is_answered_with_the_new_one(ana, bo, ticket):
    ana.put(f"/api/tickets/{ticket['id']}", json={"title": "Hamlet", "price": 25})

    answer = bo.post("/api/orders", json={"ticketId": ticket["id"], "version": 1})

    assert answer.status_code == 409
    assert answer.json["errors"][0] | {"price": 25, "version": 2} == answer.json["errors"][0]


@pytest.mark.parametrize("version", [0, -1, 1.5, "1", True, {"$gt": 0}])
def test_version_is_an_integer(bo, ticket, version):
    assert bo.post("/api/orders", json={"ticketId": ticket["id"], "version": version}).status_code == 400


def test_buyer_lists_reads_and_cancels_own_orders(bo, order):
    listed, read = bo.get("/api/orders").json, bo.get(f"/api/orders/{order['id']}").json
    cancelled = [bo.delete(f"/api/orders/{order['id']}").status_code for _ in range(2)]

    assert listed == [read] == [order]
    assert cancelled == [204, 204]
    assert bo.get(f"/api/orders/{order['id']}").json["cancelReason"] == "buyer"


def test_somebody_elses_order_is_not_shown(ana, order):
    answers = [ana.get(f"/api/orders/{order['id']}"), ana.delete(f"/api/orders/{order['id']}")]

    assert [answer.status_code for answer in answers] == [403, 403]


def test_paid_order_is_complete_and_paying_again_gives_the_same_payment(bo, order):
    answers = [bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"}) for _ in range(2)]

    assert answers[0].status_code == 201
    assert answers[0].json == answers[1].json
    expected = {"orderId": order["id"], "stripeId": "pi_1", "status": "complete"}
    assert answers[0].json == expected | {"id": answers[0].json["id"]}


def test_paid_order_cannot_be_cancelled(bo, order):
    bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})

    assert bo.delete(f"/api/orders/{order['id']}").status_code == 409


def test_slow_outcome_is_answered_as_confirming(bo, order, services, monkeypatch):
    services.completes_at_once = False
    monkeypatch.setattr(checkout, "OUTCOME_SECONDS", 0)

    answer = bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})

    assert (answer.status_code, answer.json["status"]) == (201, "confirming")


def test_the_outcome_is_asked_for_once_when_the_gateway_hears_that_the_ticket_is_sold(
    app, bo, order, services, monkeypatch
):
    monkeypatch.setattr(checkout, "LONGEST_PAUSE", 10)
    services.completes_at_once, asked, ended_holds = False, [], app.extensions["ended_holds"]
    ask, ended_holds.is_listening = services.query, True

    def complete():
        services.orders[order["id"]]["status"] = "complete"
        ended_holds.note(order["ticket"]["id"], "sold")

    services.query = lambda *arguments, **options: asked.append(arguments) or ask(*arguments, **options)
    threading.Timer(0.1, complete).start()
    began = time.monotonic()
    try:
        answer = bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})
    finally:
        ended_holds.is_listening = False

    assert time.monotonic() - began < checkout.LONGEST_PAUSE
    assert answer.json["status"] == "complete"
    assert [arguments[:2] for arguments in asked] == [("orders", "get")]


def test_authorized_payment_is_never_answered_as_a_failure(bo, order, services):
    pay = services.payments_pay

    def pay_and_lose_orders(caller, **arguments):
        services.unavailable.add("orders")
        return pay(caller, **arguments)

    services.payments_pay = pay_and_lose_orders

    answer = bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})

    assert (answer.status_code, answer.json["status"]) == (201, "confirming")


def test_declined_card_is_answered_with_the_reason_and_the_tries_left(bo, order):
    answer = bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_chargeDeclinedInsufficientFunds"})

    assert answer.status_code == 402
    problem = answer.json["errors"][0]
    assert (problem["declineCode"], problem["remaining"]) == ("insufficient_funds", 2)


def test_cancelled_order_cannot_be_paid(bo, order):
    bo.delete(f"/api/orders/{order['id']}")

    assert bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"}).status_code == 409


def test_order_cancelled_meanwhile_is_not_answered_as_paid(bo, order, services):
    services.completes_at_once = False
    pay = services.payments_pay

    def pay_too_late(caller, **arguments):
        payment = pay(caller, **arguments)
        services.end(services.orders[order["id"]], "expired")
        return payment

    services.payments_pay = pay_too_late

    assert bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"}).status_code == 409


def test_webhook_is_passed_on_to_payments_unchanged(client, services):
    answer = client.post("/api/webhooks/stripe", data=b'{"id": "evt_1"}', headers={"Stripe-Signature": "good"})

    assert answer.status_code == 200
    assert services.calls[-1][1] == {"payload": '{"id": "evt_1"}', "signature": "good"}


@pytest.mark.parametrize(("body", "signature"), [(b"{}", "bad"), (b"{}", None), (b"\xff", "good")])
def test_webhook_with_a_bad_signature_is_refused(client, body, signature):
    headers = {"Stripe-Signature": signature} if signature else {}

    assert client.post("/api/webhooks/stripe", data=body, headers=headers).status_code == 400


def test_webhook_that_is_refused_says_why(client, services):
    def of_other_mode(caller, payload, signature):
        raise RemoteError("InvalidSignature", "This event is of Stripe's other mode, live or test.")

    services.payments_receive_webhook = of_other_mode
    answers = [client.post("/api/webhooks/stripe", data=body) for body in (b"{}", b"\xff")]

    assert [answer.json["errors"][0]["message"] for answer in answers] == [
        "This event is of Stripe's other mode, live or test.",
        "The body must be UTF-8, without a byte order mark.",
    ]


def test_webhook_is_answered_503_while_payments_is_unavailable(client, services):
    services.unavailable.add("payments")

    assert client.post("/api/webhooks/stripe", data=b"{}").status_code == 503
