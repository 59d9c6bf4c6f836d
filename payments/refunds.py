"""Refunds by an operator: in full, once, and never without saying who asked for it and why."""

from contextlib import suppress
from typing import Any

from libs.events import VersionConflict
from payments.crash_points import passed
from payments.domain import Payment, ReasonMissing, StripeUnavailable
from payments.settlement import Settlement

LONGEST_REASON = 500


def refund(settlement: Settlement, order_id: str, reason: str, who: str) -> dict[str, Any]:
    """Give a buyer the money of an order back; return the payment with its `refund` (`by`, `reason`, `at`).

    Once asked for it is done, now or, if Stripe is away, by the reconciler. Doing it again changes nothing. Raises
    ReasonMissing, NotCaptured or ChargeDisputed.
    """
    text = reason.strip() if isinstance(reason, str) else ""
    if not 0 < len(text) <= LONGEST_REASON:
        raise ReasonMissing("Say in 500 characters at most why this is refunded.")
    _note(settlement, order_id, text, who)
    with suppress(StripeUnavailable, VersionConflict):  # it is noted, so the reconciler goes on with it
        settlement.settle(order_id)
    payment = settlement.store.get(order_id)
    return {**payment.public(), "refund": _shown(payment)}


def _note(settlement: Settlement, order_id: str, reason: str, who: str) -> None:
    for last in (False, False, True):
        payment = settlement.store.get(order_id)
        if payment.status == "refunded" or (payment.refund is not None and payment.refund_failed_at is None):
            return
        payment.check_refundable()
        payment.ask_refund(who, reason, settlement.clock())
        try:
            settlement.store.save(payment)
            passed(10)
            return
        except VersionConflict:
            if last:
                raise


def _shown(payment: Payment) -> dict[str, Any] | None:
    return None if payment.refund is None else {**payment.refund, "at": payment.refund["at"].isoformat()}
