"""Refunds by an operator: in full, once, and never without recording who asked for it and why."""

from contextlib import suppress
from typing import Any

from libs.contracts.texts import is_storable
from libs.events import VersionConflict
from payments.crash_points import CrashPoint, crash_point
from payments.errors import NameMissing, ReasonMissing, StripeUnavailable
from payments.settlement import Settlement

LONGEST_REASON, LONGEST_NAME = 500, 100


def refund(settlement: Settlement, order_id: str, reason: str, requested_by: str) -> dict[str, Any]:
    """Refund an order in full; return the payment with its `refund` (`by`, `reason`, `at`).

    Once requested it will be made, now or, if Stripe is unreachable, by the reconciler. Repeating it changes nothing,
    unless the refund failed; then the earlier request is one of `earlier_refunds`. Raises ReasonMissing, NameMissing,
    NotCaptured or ChargeDisputed.
    """
    why, name = _stripped(reason, LONGEST_REASON), _stripped(requested_by, LONGEST_NAME)
    if not why:
        raise ReasonMissing(f"Say in {LONGEST_REASON} characters at most why this is refunded.")
    if not name:
        raise NameMissing(f"Say in {LONGEST_NAME} characters at most who asks for this refund.")
    _request(settlement, order_id, why, name)
    with suppress(StripeUnavailable, VersionConflict):  # it is stored, so the reconciler will make it
        settlement.settle(order_id)
    payment = settlement.store.get(order_id)
    newest = None if payment.refund is None else _as_json(payment.refund)
    earlier = [_as_json(request) for request in payment.earlier_refunds]
    return {**payment.snapshot(), "refund": newest, "earlier_refunds": earlier}


def _stripped(value: object, longest: int) -> str:
    """Return a text without the spaces around it; "" if it is no text, is too long or cannot be stored."""
    text = value.strip() if isinstance(value, str) and is_storable(value) else ""
    return text if len(text) <= longest else ""


def _request(settlement: Settlement, order_id: str, reason: str, requested_by: str) -> None:
    for last in (False, False, True):
        payment = settlement.store.get(order_id)
        if payment.status == "refunded" or (payment.refund is not None and payment.refund_failed_at is None):
            return
        payment.check_refundable()
        payment.request_refund(requested_by, reason, settlement.clock())
        try:
            settlement.store.save(payment)
            crash_point(CrashPoint.REFUND_REQUESTED)
            return
        except VersionConflict:
            if last:
                raise


def _as_json(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "at": request["at"].isoformat()}
