"""One correlation id follows a browser's request: in the log lines of every service, through RPC, events and jobs."""

import json
import secrets
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import requests
import stripe

from dev.testing import wait_for
from libs import context
from libs.contracts.events import OrderCreated

pytestmark = pytest.mark.usefixtures("at_rest")


def lines(system, program, correlation_id):
    return [line for line in system.logs(program).splitlines() if f"[{correlation_id}]" in line]


def test_the_id_of_a_reservation_is_in_every_log_that_it_leads_to(system, ana, bo):
    correlation_id = f"e2e-{secrets.token_hex(8)}"
    ticket_id = ana.list_ticket()

    answer = bo.post("/api/orders", {"ticketId": ticket_id}, **{"X-Request-Id": correlation_id})

    assert answer.headers["X-Request-Id"] == correlation_id
    for part in ("gateway", *OrderCreated.listeners):
        wait_for(partial(lines, system, part, correlation_id), 15, f"{correlation_id} in the log of {part}")


def test_the_id_of_a_webhook_is_in_every_log_that_it_leads_to(system, ana, bo):
    correlation_id, order_id = f"e2e-{secrets.token_hex(8)}", bo.reserve(ana.list_ticket())
    form = bo.post(f"/api/orders/{order_id}/payment-intent").json()
    stripe_id = form["clientSecret"].partition("_secret")[0]
    with webhooks_lost(system):
        confirm_in_the_browser(system, stripe_id)

        answer = send_webhook(system, "payment_intent.amount_capturable_updated", stripe_id, correlation_id)

    assert answer.status_code == 200, answer.text
    bo.wait_for_order(order_id, "complete")
    wait_for(lambda: any(f"PaymentAuthorized:{order_id}" in line for line in lines(system, "orders", correlation_id)))
    wait_for(lambda: any(f"OrderCompleted:{order_id}" in line for line in lines(system, "tickets", correlation_id)))


@contextmanager
def webhooks_lost(system):
    """Let the fake Stripe send no webhook of its own while the block runs."""
    control = f"{system.stripe_url}/_control/webhooks"
    requests.post(control, json={"action": "drop"}, timeout=5).raise_for_status()
    try:
        yield
    finally:
        requests.delete(control, timeout=5).raise_for_status()


def confirm_in_the_browser(system, stripe_id):
    key = system.secrets["STRIPE_SECRET_KEY"]
    client = stripe.StripeClient(key, base_addresses={"api": system.stripe_url})
    client.v1.payment_intents.confirm(stripe_id, {"payment_method": "pm_card_visa"})


def send_webhook(system, kind, stripe_id, correlation_id):
    about = {"object": "payment_intent", "id": stripe_id}
    event = {"id": f"evt_{secrets.token_hex(8)}", "type": kind, "livemode": False, "data": {"object": about}}
    body = json.dumps(event)
    secret = system.secrets["STRIPE_WEBHOOK_SECRET"]
    signature = stripe.WebhookSignature.generate_signature_header(body, secret)
    headers = {"Stripe-Signature": signature, "X-Request-Id": correlation_id}
    return requests.post(f"{system.gateway_url}/api/webhooks/stripe", data=body, headers=headers, timeout=30)


def test_the_id_goes_through_the_job_of_a_deadline(system, operator, ana, bo):
    def is_handled(correlation_id, order_id):
        def logged():
            return any(f"ExpirationComplete:{order_id}" in line for line in lines(system, "orders", correlation_id))

        with suppress(AssertionError):  # the line is written a moment after the order was saved
            return wait_for(logged, 2)

    def goes_through():
        correlation_id, order_id = f"e2e-{secrets.token_hex(8)}", bo.reserve(ana.list_ticket())
        with context.work(correlation_id):
            operator.let_expire(order_id)
        bo.wait_for_order(order_id, "cancelled")
        return is_handled(correlation_id, order_id)

    # sometimes orders' own sweep is quicker than the job, which then publishes nothing
    wait_for(goes_through, 60, "the job's event under the id of the call that moved the deadline")
