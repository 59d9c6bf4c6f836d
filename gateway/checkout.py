"""Paying: hand the card to payments, or ask it what Stripe says, then wait a little for the order to end."""

import time
from typing import Any

from gateway.errors import GatewayError
from gateway.services import call_as_user
from libs.rpc import ServiceUnavailable

PAY_SECONDS = 15.0  # Stripe itself may take several seconds to ask a bank
OUTCOME_SECONDS = 5.0
PAUSES = (0.05, 0.1, 0.2, 0.3, 0.5)


def pay(order_id: str, token: str) -> dict[str, Any]:
    """Return the payment with its `status`: "complete", or "confirming" when the outcome takes over five seconds.

    Raises OrderCancelled when the order ended otherwise; whatever was authorized is then voided by payments. Raises
    PaymentUnknown when payments does not answer: the card may have been charged, or may still be.
    """
    began = time.monotonic()
    try:
        payment: dict[str, Any] = call_as_user("payments.pay", timeout=PAY_SECONDS, order_id=order_id, token=token)
    except ServiceUnavailable as error:
        raise GatewayError("PaymentUnknown") from error
    status = _await_order(order_id, began + OUTCOME_SECONDS)
    if status == "cancelled":
        raise GatewayError("OrderCancelled")
    return {**payment, "order_id": order_id, "status": "complete" if status == "complete" else "confirming"}


def begin(order_id: str) -> dict[str, Any]:
    """Return what the card form needs to pay the order in the browser: `client_secret` and `publishable_key`."""
    intent: dict[str, Any] = call_as_user("payments.create_intent", timeout=PAY_SECONDS, order_id=order_id)
    return intent


def announce(order_id: str) -> int:
    """Note that the page is about to let Stripe charge a card; return the number of the attempt."""
    return int(call_as_user("payments.announce", timeout=PAY_SECONDS, order_id=order_id)["attempt"])


def ask_stripe(order_id: str, answered: int | None = None) -> dict[str, Any] | None:
    """Return the payment as Stripe says it is now, or None while payments does not answer.

    While Stripe does not answer it `is_confirming`. Once the card was taken, the order gets five seconds to end.
    `answered`: the attempt that Stripe has answered to the page.
    """
    began, about = time.monotonic(), {"order_id": order_id, "answered": answered}
    try:
        payment: dict[str, Any] = call_as_user("payments.refresh", timeout=PAY_SECONDS, **about)
    except ServiceUnavailable:
        return None
    if payment["status"] in ("authorized", "captured", "cancelled"):
        _await_order(order_id, began + OUTCOME_SECONDS)
    return payment


def _await_order(order_id: str, until: float) -> str:
    """Return the order's status once it has ended, or what it is when time is up; the card is taken care of by now."""
    pauses = iter(PAUSES)
    while True:
        try:
            status = str(call_as_user("orders.get", order_id=order_id)["status"])
        except ServiceUnavailable:
            return "unknown"
        if status in ("complete", "cancelled") or time.monotonic() >= until:
            return status
        time.sleep(next(pauses, PAUSES[-1]))
