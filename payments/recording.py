"""Recording the state of a PaymentIntent at Stripe in its payment."""

from datetime import datetime, timedelta

from payments import disputes
from payments.domain import Payment
from payments.intent import PaymentIntent

CONFIRM_PERIOD = timedelta(seconds=90)
"""How long a request to charge a card may stay in flight, or in progress at Stripe."""

EVENT_OF_STATUS = {
    "open": "",
    "authorized": "PaymentAuthorized",
    "captured": "PaymentCreated",
    "cancelled": "PaymentFailed",
    "refunded": "PaymentRefunded",
}


def record(payment: Payment, intent: PaymentIntent, now: datetime, answered: int | None = None) -> str | None:
    """Record the state at Stripe; return the event of the change, "" for one without, None when nothing changed.

    `answered`: the attempt that Stripe is known to have answered.
    """
    before, event = _seen(payment), ""
    if intent.declines is not None and intent.declines > payment.declines:
        payment.declines, payment.decline_code, event = intent.declines, intent.decline_code, "PaymentFailed"
        answered = payment.attempts
    if _is_outcome_known(payment, intent, answered, now):
        payment.confirming_at = None
    payment.is_challenged = intent.status == "requires_action"
    if _record_refunds(payment, intent, now):
        event = "PaymentRefunded"
    status = recorded_status(intent, payment.is_paid_by(intent))
    if status != payment.status:
        if status == "captured":
            payment.captured_at = payment.captured_at or now
        payment.status, payment.card_brand, payment.card_last4 = status, intent.card_brand, intent.card_last4
        event = EVENT_OF_STATUS[status]
    if _seen(payment) == before:
        return None
    payment.mark_changed(now)
    return event


def _seen(payment: Payment) -> tuple[object, ...]:
    about_failed = payment.failed_refunds, payment.refund_failed_at, payment.owed_cents
    return payment.snapshot(), payment.partial_refunds, *about_failed


def _is_outcome_known(payment: Payment, intent: PaymentIntent, answered: int | None, now: datetime) -> bool:
    """Whether the outcome of the newest attempt is known."""
    if payment.confirming_at is None or intent.status == "processing":
        return False
    ended = intent.status in ("requires_capture", "succeeded", "canceled") or answered == payment.attempts
    return ended or _was_answered(payment, intent) or now - payment.confirming_at >= CONFIRM_PERIOD


def _was_answered(payment: Payment, intent: PaymentIntent) -> bool:
    """Whether Stripe shows that the newest attempt reached it, and was declined or challenged."""
    is_waiting = intent.status in ("requires_action", "requires_payment_method")
    return (
        is_waiting and payment.tried_before is not None and intent.last_payment_method not in ("", payment.tried_before)
    )


def _record_refunds(payment: Payment, intent: PaymentIntent, now: datetime) -> bool:
    """Record refunds and disputes; return whether more, or less, is refunded or lost than before."""
    refunded, lost = payment.refunded_cents, disputes.lost_cents(payment.dispute)
    payment.note_refunds(intent, now)
    if payment.refunded_cents > refunded:
        payment.refunded_at = now
    elif payment.refunded_cents == 0:
        payment.refunded_at = None
    return (payment.refunded_cents, disputes.lost_cents(payment.dispute)) != (refunded, lost)


def recorded_status(intent: PaymentIntent, is_exact: bool | None = None) -> str:
    """Return the payment's status for the state of its PaymentIntent.

    `is_exact`: whether exactly the right amount was captured; by default that is the PaymentIntent's own amount. If
    not, the payment stays authorized until the money is refunded, and is then treated as if nothing had been captured.
    """
    if intent.status == "succeeded":
        if is_exact or (is_exact is None and intent.taken_cents == intent.amount_cents):
            return "captured" if intent.kept_cents > 0 else "refunded"
        return "authorized" if intent.kept_cents > 0 else "cancelled"
    return {"requires_capture": "authorized", "canceled": "cancelled"}.get(intent.status, "open")
