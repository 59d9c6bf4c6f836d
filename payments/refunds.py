"""Refunds by an operator: in full, once, and never without saying who asked for it and why."""

from contextlib import suppress
from typing import Any

from libs.contracts.limits import is_storable
from libs.events import VersionConflict
from payments.crash_points import crash_point
from payments.errors import NameMissing, ReasonMissing, StripeUnavailable
from payments.settlement import Settlement

LONGEST_REASON, LONGEST_NAME = 500, 100


def refund(settlement: Settlement, order_id: str, reason: str, who: str) -> dict[str, Any]:
    """Give a buyer the money of an order back; return the payment with its `refund` (`by`, `reason`, `at`).

    Once asked for it is done, now or, if Stripe is away, by the reconciler. Doing it again changes nothing, unless the
    refund failed; then the earlier request is one of `earlier_refunds`. Raises ReasonMissing, NameMissing, NotCaptured
    or ChargeDisputed.
    """
    why, name = _text(reason, LONGEST_REASON), _text(who, LONGEST_NAME)
    if not why:
        raise ReasonMissing(f"Say in {LONGEST_REASON} characters at most why this is refunded.")
    if not name:
        raise NameMissing(f"Say in {LONGEST_NAME} characters at most who asks for this refund.")
    _note(settlement, order_id, why, name)
    with suppress(StripeUnavailable, VersionConflict):  # it is noted, so the reconciler goes on with it
        settlement.settle(order_id)
    payment = settlement.store.get(order_id)
    asked = None if payment.refund is None else _shown(payment.refund)
    return {**payment.snapshot(), "refund": asked, "earlier_refunds": [_shown(one) for one in payment.earlier_refunds]}


def _text(value: object, longest: int) -> str:
    """Return a text without the space around it; "" if it is none, is too long or cannot be stored."""
    text = value.strip() if isinstance(value, str) and is_storable(value) else ""
    return text if len(text) <= longest else ""


def _note(settlement: Settlement, order_id: str, reason: str, who: str) -> None:
    for last in (False, False, True):
        payment = settlement.store.get(order_id)
        if payment.status == "refunded" or (payment.refund is not None and payment.refund_failed_at is None):
            return
        payment.check_refundable()
        payment.request_refund(who, reason, settlement.clock())
        try:
            settlement.store.save(payment)
            crash_point(10)
            return
        except VersionConflict:
            if last:
                raise


def _shown(asked: dict[str, Any]) -> dict[str, Any]:
    return {**asked, "at": asked["at"].isoformat()}
