import pytest
import requests

from dev.testing import wait_for
from tests.e2e.invariants import charged, ledger
from tests.e2e.people import Person

pytestmark = pytest.mark.usefixtures("at_rest")


def test_a_ticket_is_listed_reserved_paid_and_owned(system):
    ana, bo = (Person(system.gateway_url, name).sign_up() for name in ("ana", "bo"))
    ticket_id = ana.list_ticket("Hamlet, row 3", 19.99)
    order_id = bo.reserve(ticket_id)

    payment = bo.pay(order_id)

    assert (payment.status_code, payment.json()["status"]) == (201, "complete")
    assert bo.order(order_id)["status"] == "complete"
    bo.wait_for_ticket(ticket_id, "sold")
    assert charged(ledger(system, order_id)) == ([1999], [], 1999)


def test_paying_twice_charges_once(ana, bo, system):
    order_id = bo.reserve(ana.list_ticket())
    first = bo.pay(order_id)

    second = bo.pay(order_id)

    assert (second.status_code, second.json()["stripeId"]) == (201, first.json()["stripeId"])
    assert charged(ledger(system, order_id)) == ([1999], [], 1999)


def test_a_partial_refund_made_at_stripe_is_seen_by_the_buyer_and_the_seller(ana, bo, system):
    order_id = bo.reserve(ana.list_ticket())
    refund = {"payment_intent": bo.pay(order_id).json()["stripeId"], "amount": 500}

    requests.post(f"{system.stripe_url}/_control/refunds", json=refund, timeout=10).raise_for_status()

    wait_for(lambda: bo.order(order_id)["refundedAmount"] == 5.0, 20, "the buyer to see the refund")
    assert (bo.order(order_id)["status"], bo.order(order_id)["refundedAt"]) == ("complete", None)
    assert "$5.00 of $19.99 was refunded on <time" in bo.get(f"/orders/{order_id}").text
    wait_for(lambda: "<strong>$14.99</strong> owed to you" in ana.get("/selling").text, 20, "the seller to see it")


def test_after_a_decline_another_card_buys_the_ticket(ana, bo):
    order_id = bo.reserve(ana.list_ticket())

    declined = bo.pay(order_id, "tok_chargeDeclinedInsufficientFunds")
    assert declined.status_code == 402
    assert "insufficient funds" in declined.json()["errors"][0]["message"]

    assert bo.pay(order_id).json()["status"] == "complete"


def test_the_third_declined_card_releases_the_ticket(ana, bo, person):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)

    for _ in range(3):
        assert bo.pay(order_id, "tok_chargeDeclined").status_code == 402

    bo.wait_for_order(order_id, "cancelled")
    assert bo.order(order_id)["cancelReason"] == "payment_failed"
    assert bo.pay(order_id).status_code == 409
    bo.wait_for_ticket(ticket_id, "on_sale")
    person("cy").reserve(ticket_id)


def test_a_failing_stripe_is_reported_as_such_and_the_order_can_be_paid_later(system, ana, bo):
    order_id = bo.reserve(ana.list_ticket())
    fault = {"kind": "error", "path": "/v1/payment_intents"}
    requests.post(f"{system.stripe_url}/_control/faults", json=fault, timeout=5).raise_for_status()

    answer = bo.post(f"/api/orders/{order_id}/payment-intent")

    assert (answer.status_code, answer.json()["errors"][0]["message"][:17]) == (503, "Card payments are")
    assert bo.pay(order_id).json()["status"] == "complete"


def test_an_unpaid_ticket_is_on_sale_again_when_the_window_closes(ana, bo, person, operator):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)
    bo.wait_for_ticket(ticket_id, "reserved")

    operator.let_expire(order_id)

    bo.wait_for_order(order_id, "cancelled")
    assert bo.order(order_id)["cancelReason"] == "expired"
    assert bo.pay(order_id).status_code == 409
    bo.wait_for_ticket(ticket_id, "on_sale")
    cy = person("cy")
    assert cy.pay(cy.reserve(ticket_id)).json()["status"] == "complete"


def test_a_cancelled_ticket_is_sold_to_another_and_a_second_cancel_frees_nothing(ana, bo, person):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)
    assert bo.delete(f"/api/orders/{order_id}").status_code == 204
    cy = person("cy")
    later = cy.reserve(ticket_id)

    assert bo.delete(f"/api/orders/{order_id}").status_code == 204

    assert cy.order(later)["status"] == "created"
    assert cy.pay(later).json()["status"] == "complete"
    cy.wait_for_ticket(ticket_id, "sold")
    assert cy.delete(f"/api/orders/{later}").status_code == 409


def test_only_its_owner_can_use_a_ticket_an_order_a_payment_or_a_session(system):
    """Some routes on the running system; tests/security/test_access.py tries all of them in one process."""
    nobody, *people = (Person(system.gateway_url, name) for name in ("nobody", "stranger", "ana", "bo"))
    stranger, ana, bo = (each.sign_up() for each in people)
    withdrawn, reserved, cancelled = (ana.list_ticket() for _ in range(3))
    order, payment = bo.reserve(cancelled), {"orderId": bo.reserve(reserved), "token": "tok_visa"}
    routes = (  # and the status of nobody, a stranger and the owner
        (ana, "DELETE", f"/api/tickets/{withdrawn}", None, (401, 403, 204)),
        (bo, "GET", f"/api/orders/{order}", None, (401, 403, 200)),
        (bo, "DELETE", f"/api/orders/{order}", None, (401, 403, 204)),
        (bo, "POST", "/api/payments", payment, (401, 403, 201)),
        (bo, "DELETE", f"/api/users/sessions/{bo.session_elsewhere()}", None, (401, 404, 204)),
    )

    for owner, method, path, body, expected in routes:
        people, url = (nobody, stranger, owner), owner.url + path
        statuses = tuple(each.http.request(method, url, json=body, timeout=30).status_code for each in people)
        assert statuses == expected, (method, path)


def test_a_session_that_was_signed_out_is_good_for_nothing(system):
    bo = Person(system.gateway_url, "bo").sign_up()
    captured = bo.http.cookies.copy()
    assert bo.post("/api/users/signout").status_code == 200

    bo.http.cookies = captured

    refused = [401] * 6  # in every process of the gateway, once SessionRevoked has arrived
    wait_for(lambda: [bo.get("/api/orders").status_code for _ in refused] == refused, 2, "the session to end")
