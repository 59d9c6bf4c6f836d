"""Paying: send the card to payments, or refresh the payment from Stripe, then wait up to five seconds for the order."""

import logging
import time
from typing import Any, cast

from flask import current_app

from gateway.cache.ended_holds import EndedHolds
from gateway.errors import GatewayError
from gateway.services import call_as_user
from libs.rpc import ServiceUnavailable

PAY_SECONDS = 15.0  # Stripe itself may take several seconds to ask a bank
OUTCOME_SECONDS = 5.0
POLL_PAUSES = (0.05, 0.1, 0.2, 0.3, 0.5)
UNDER_WAY = ("open", "authorized")
LONGEST_PAUSE = POLL_PAUSES[-1]
"""The longest wait between two queries, and within how long this process should learn of the order's end."""

log = logging.getLogger(__name__)


def pay(order_id: str, token: str) -> dict[str, Any]:
    """Return the payment with its `status`: "complete", or "confirming" when the outcome takes over five seconds.

    Raises OrderCancelled when the order was cancelled meanwhile; payments then voids the authorization. Raises
    PaymentUnknown when payments does not answer: the card may have been charged, or may yet be. When payments itself
    replies that something is unavailable, it has not begun to charge, and the buyer may try again: StripeUnavailable.
    """
    began = time.monotonic()
    try:
        payment: dict[str, Any] = call_as_user("payments.pay", timeout=PAY_SECONDS, order_id=order_id, token=token)
    except ServiceUnavailable as error:
        name = "StripeUnavailable" if error.is_reply else "PaymentUnknown"
        log.warning("%s: %s", name, error)
        raise GatewayError(name) from error
    status = _await_order(payment, began + OUTCOME_SECONDS)
    if status == "cancelled":
        raise GatewayError("OrderCancelled")
    return {**payment, "order_id": order_id, "status": "complete" if status == "complete" else "confirming"}


def create_intent(order_id: str) -> dict[str, Any]:
    """Return what the card form needs to pay the order in the browser: `client_secret` and `publishable_key`."""
    intent: dict[str, Any] = call_as_user("payments.create_intent", timeout=PAY_SECONDS, order_id=order_id)
    return intent


def announce_attempt(order_id: str) -> int:
    """Record that the page is about to confirm a payment with Stripe; return the number of the attempt."""
    return int(call_as_user("payments.announce", timeout=PAY_SECONDS, order_id=order_id)["attempt"])


def refresh_payment(order_id: str, answered: int | None = None) -> dict[str, Any] | None:
    """Return the payment, refreshed from Stripe, or None while payments does not answer.

    While Stripe does not answer, `is_confirming` is true. Once the card is authorized, waits up to five seconds for the
    order. `answered`: the number of the attempt whose result the page has got from Stripe.
    """
    began, arguments = time.monotonic(), {"order_id": order_id, "answered": answered}
    try:
        payment: dict[str, Any] = call_as_user("payments.refresh", timeout=PAY_SECONDS, **arguments)
    except ServiceUnavailable:
        return None
    if payment["status"] in ("authorized", "captured", "cancelled"):
        _await_order(payment, began + OUTCOME_SECONDS)
    return payment


def _await_order(payment: dict[str, Any], deadline: float) -> str:
    """Return the order's status once it is final, or as it is at the deadline; "unknown" without an answer.

    orders is asked when this process receives that the ticket is no longer held, or else now and then.
    """
    ended_holds, ticket_id, known = cast(EndedHolds, current_app.extensions["ended_holds"]), payment.get("ticket_id"), 0
    pauses = iter(POLL_PAUSES)
    if ticket_id and ended_holds.is_listening and payment["status"] in UNDER_WAY:
        known, pauses = ended_holds.wait(ticket_id, known, LONGEST_PAUSE), iter(())
    while True:
        try:
            status = str(call_as_user("orders.get", order_id=payment["order_id"])["status"])
        except ServiceUnavailable:
            return "unknown"
        if status in ("complete", "cancelled") or time.monotonic() >= deadline:
            return status
        known = ended_holds.wait(ticket_id or "", known, next(pauses, LONGEST_PAUSE))
