"""Refunds by an operator: in full, once, and never without recording who asked for it and why."""

from contextlib import suppress
from typing import Any

from libs.contracts.texts import is_storable
from libs.events import VersionConflict
from payments.crash_points import CrashPoint, crash_point
from payments.domain import Payment
from payments.errors import ReasonMissing, StripeUnavailable
from payments.settlement import Settlement

LONGEST_REASON = 500


def refund(settlement: Settlement, order_id: str, reason: str, requested_by: str) -> dict[str, Any]:
    """Refund an order in full; return the payment with its `refund` (`by`, `reason`, `at`).

    Once requested it will be made, now or, if Stripe is unreachable, by the reconciler. The same person may repeat it,
    which changes nothing, unless the refund failed; then the earlier request is one of `earlier_refunds`. Raises
    ReasonMissing, AlreadyRefunded, NotCaptured or ChargeDisputed.
    """
    why = _stripped(reason)
    if not why:
        raise ReasonMissing(f"Say in {LONGEST_REASON} characters at most why this is refunded.")
    _request(settlement, order_id, why, requested_by)
    with suppress(StripeUnavailable, VersionConflict):  # it is stored, so the reconciler will make it
        settlement.settle(order_id)
    return with_refunds(settlement.store.get(order_id))


def with_refunds(payment: Payment) -> dict[str, Any]:
    """Return a payment's snapshot with the `refund` that an operator asked for last, and the `earlier_refunds`."""
    newest = None if payment.refund is None else _as_json(payment.refund)
    earlier = [_as_json(request) for request in payment.earlier_refunds]
    return {**payment.snapshot(), "refund": newest, "earlier_refunds": earlier}


def _stripped(value: object) -> str:
    """Return a text without the spaces around it; "" if it is no text, is too long or cannot be stored."""
    text = value.strip() if isinstance(value, str) and is_storable(value) else ""
    return text if len(text) <= LONGEST_REASON else ""


def _request(settlement: Settlement, order_id: str, reason: str, requested_by: str) -> None:
    for last in (False, False, True):
        payment = settlement.store.get(order_id)
        if not payment.request_refund(requested_by, reason, settlement.clock()):
            return
        try:
            settlement.store.save(payment)
            crash_point(CrashPoint.REFUND_REQUESTED)
            return
        except VersionConflict:
            if last:
                raise


def _as_json(request: dict[str, Any]) -> dict[str, Any]:
    return {**request, "at": request["at"].isoformat()}
