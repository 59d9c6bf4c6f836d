"""What to do next about a payment; `decide` is the whole protocol of one payment.

The caller re-reads the PaymentIntent first, performs the one step it returns, and calls it again. No webhook, reply
or event decides anything by itself.
"""

from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from payments.domain import MAXIMUM_DECLINES, Payment
from payments.intent import PaymentIntent

CAPTURE_TRIES, CAPTURE_PERIOD = 10, timedelta(minutes=10)


class Step(Enum):
    """What to do next about a payment."""

    WAIT = "nothing more can be done now"
    FIND_OR_CREATE = "find or create the PaymentIntent that was being created"
    CANCEL = "cancel the PaymentIntent, which voids an authorization"
    CAPTURE = "capture the authorized amount"
    REFUND_PARTIALLY = "make the next partial refund that an operator asked for"
    REFUND = "refund what was captured"
    ABANDON_PARTIAL_REFUND = "abandon the next partial refund, which cannot be made any more"
    GIVE_UP_REFUND = "leave a refund that Stripe accepted, and does not show, to an operator"
    RECORD = "record what Stripe says"


def decide(payment: Payment, intent: PaymentIntent | None, now: datetime) -> Step:
    """Return the next step for a payment, given its PaymentIntent as Stripe returns it now (None: none is known)."""
    if intent is None:
        return Step.FIND_OR_CREATE if payment.creating_at is not None else Step.WAIT
    if intent.status in ("succeeded", "canceled"):
        return _decide_ended(payment, intent, now)
    if intent.status == "processing":
        return Step.WAIT
    if payment.order["status"] == "cancelled" or not matches_order(payment, intent):
        return Step.CANCEL
    if intent.status == "requires_capture":
        return _decide_authorized(payment, now)
    return Step.CANCEL if (intent.declines or 0) >= MAXIMUM_DECLINES else Step.RECORD


def matches_order(payment: Payment, intent: PaymentIntent) -> bool:
    """Whether the PaymentIntent is for this order's amount; nothing else is ever captured."""
    about = (intent.amount_cents, intent.currency, intent.order_id or payment.id)
    return about == (payment.amount_cents, payment.currency, payment.id)


def _decide_ended(payment: Payment, intent: PaymentIntent, now: datetime) -> Step:
    if intent.failed_refunds > payment.failed_refunds:
        return Step.RECORD
    refund = payment.next_partial_refund(intent)
    if refund is not None:
        return _decide_partial_refund(payment, intent, refund, now)
    is_unwanted = payment.order["status"] == "cancelled" or payment.refund is not None or not payment.is_paid_by(intent)
    return Step.REFUND if is_unwanted and intent.is_refundable and not payment.refund_failed_at else Step.RECORD


def _decide_partial_refund(payment: Payment, intent: PaymentIntent, refund: dict[str, Any], now: datetime) -> Step:
    if not payment.may_ask_for(refund, now):
        return Step.RECORD
    is_possible = intent.is_refundable and refund["amount_cents"] <= intent.refundable_cents
    return Step.REFUND_PARTIALLY if is_possible else Step.ABANDON_PARTIAL_REFUND


def _decide_authorized(payment: Payment, now: datetime) -> Step:
    if payment.order["status"] == "created":
        return Step.RECORD
    refused_for = now - payment.capture_refused_at if payment.capture_refused_at else timedelta(0)
    if payment.capture_tries >= CAPTURE_TRIES or refused_for >= CAPTURE_PERIOD:
        return Step.CANCEL
    return Step.CAPTURE
