"""Refunds by an operator: in full once, or partially, and never without recording who asked for it and why."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from libs.contracts.currencies import currency_of
from libs.contracts.texts import is_storable
from libs.events import VersionConflict, retry_on_conflict
from libs.rpc.arguments import InvalidArguments
from payments.crash_points import CrashPoint, crash_point
from payments.domain import UNDER_WAY_PERIOD, Payment
from payments.errors import ReasonMissing, StripeUnavailable
from payments.settlement import Settlement
from payments.store import PaymentStore

LONGEST_REASON = 500
LATE_AFTER = 2 * UNDER_WAY_PERIOD
"""How long a refund may take when Stripe has failed once."""
PENDING_AFTER = timedelta(days=1)
"""How long Stripe may take over a refund: it waits for days if its balance of ours is too low."""
LONGEST_ID = 16
"""Characters of the id of a request for a partial refund."""


def refund(settlement: Settlement, order_id: str, reason: str, requested_by: str) -> dict[str, Any]:
    """Refund an order in full; return the payment with its `refund` (`by`, `reason`, `at`).

    Once requested it will be made: now or, if Stripe is unreachable, by the reconciler. If the same person repeats it,
    nothing changes, unless the refund failed: then it is requested again, and the earlier request becomes one of
    `earlier_refunds`. Raises ReasonMissing, AlreadyRefunded, NotCaptured or ChargeDisputed.
    """
    why = _strip(reason)
    if not why:
        raise ReasonMissing(f"Say in {LONGEST_REASON} characters at most why this is refunded.")
    _settle_if_possible(settlement, order_id)  # so that changes made at Stripe meanwhile are known
    _change(settlement, order_id, lambda payment, now: payment.request_refund(requested_by, why, now))
    _settle_if_possible(settlement, order_id)  # it is stored, so the reconciler will make it
    return with_refunds(settlement.store.get(order_id))


def with_refunds(payment: Payment) -> dict[str, Any]:
    """Return a payment's snapshot with its `refund`, the `earlier_refunds` that failed, and its `partial_refunds`."""
    newest = None if payment.refund is None else _as_json(payment.refund)
    earlier = [_as_json(request) for request in payment.earlier_refunds]
    partial = [_as_json(request) for request in payment.partial_refunds]
    return {**payment.snapshot(), "refund": newest, "earlier_refunds": earlier, "partial_refunds": partial}


def refund_partially(
    settlement: Settlement, order_id: str, amount_cents: int, reason: str, requested_by: str
) -> dict[str, Any]:
    """Refund part of an order; return the payment as `with_refunds` does, with a `note` if it was requested already.

    The same amount for the same reason is the same request, which is carried out once, however often it is repeated, by
    whomever; once it has failed, repeating it is a new request. Raises what `refund` raises, InvalidArguments for an
    amount that Stripe does not refund, RefundTooLarge or RefundUnderWay; and StripeUnavailable if Stripe may have made
    an abandoned one after all and cannot be asked.
    """
    why = _strip(reason)
    if not why:
        raise ReasonMissing(f"Say in {LONGEST_REASON} characters at most why this is refunded.")
    request = f"{order_id}\n{amount_cents}\n{requested_by}\n{why}"
    ident = hashlib.sha256(request.encode()).hexdigest()[:LONGEST_ID]
    payment = settlement.store.get(order_id)
    _check_step(amount_cents, payment.currency)
    if any(each["state"] in ("abandoned", "failed") for each in payment.refunds_like(amount_cents, why)):
        settlement.settle(order_id)  # it may have been made after all, or in the dashboard
    else:
        _settle_if_possible(settlement, order_id)
    is_new = _change(
        settlement,
        order_id,
        lambda payment, now: payment.request_partial_refund(ident, amount_cents, requested_by, why, now),
    )
    _settle_if_possible(settlement, order_id)  # as above
    payment = settlement.store.get(order_id)
    note = {} if is_new else {"note": _repeated(payment.refunds_like(amount_cents, why))}
    return with_refunds(payment) | note


def _check_step(amount_cents: int, currency: str) -> None:
    known = currency_of(currency)
    if amount_cents % known.step:
        raise InvalidArguments(f"Stripe refunds multiples of {known.major(known.step)} {currency.upper()} only.")


def _settle_if_possible(settlement: Settlement, order_id: str) -> None:
    with suppress(StripeUnavailable, VersionConflict):
        settlement.settle(order_id)


def _repeated(alike: list[dict[str, Any]]) -> str:
    """Return the note for an operator who repeats a partial refund; `alike`: the identical ones, oldest first."""
    known = next((each for each in alike if each["state"] in ("requested", "created")), alike[-1])
    became = "failed, but as much was returned since" if known["state"] == "failed" else f"is {known['state']}"
    requested = f"{known['by']} asked for this at {known['at']:%Y-%m-%d %H:%M} UTC already, and it {became}."
    return f"{requested} Another refund of the same amount needs another reason."


def list_failed_refunds(store: PaymentStore, limit: int) -> list[dict[str, Any]]:
    """Return the refunds that failed, as [{"order_id", "since", "currency", "amount_cents", "reason", "is_all"}].

    If neither an amount is known nor `is_all`, it was made at Stripe, or some of it was returned since. `reason` is
    None if no operator asked for it.
    """
    return [each for payment in store.list_refunds_failed(limit) for each in _failed(payment)]


def _failed(payment: Payment) -> list[dict[str, Any]]:
    is_all = payment.is_all_wanted_back
    about = {"order_id": payment.id, "since": payment.refund_failed_at, "currency": payment.currency, "is_all": is_all}
    everything = {"amount_cents": None, "reason": payment.refund["reason"] if payment.refund else None}
    failed = [] if is_all else payment.failed_partial_refunds
    if payment.owed_cents != sum(each["amount_cents"] for each in failed):
        failed = []  # an operator has to find out which of them
    return [{**about, **{name: each[name] for name in everything}} for each in failed or [everything]]


def list_late_refunds(store: PaymentStore, now: datetime) -> list[dict[str, Any]]:
    """Return the orders whose refund, partial or not, was requested LATE_AFTER ago or earlier and is not made yet.

    As [{"order_id", "since"}].
    """
    waiting = {
        payment.id: next(each["at"] for each in (*payment.requested_refunds, payment.refund) if each)
        for payment in store.list_refunds_requested()
    }
    return [{"order_id": ident, "since": since} for ident, since in waiting.items() if since <= now - LATE_AFTER]


def _strip(value: object) -> str:
    """Return a text without surrounding spaces; "" if it is not a text, too long, or cannot be stored."""
    text = value.strip() if isinstance(value, str) and is_storable(value) else ""
    return text if len(text) <= LONGEST_REASON else ""


def _change(settlement: Settlement, order_id: str, request: Callable[[Payment, datetime], bool]) -> bool:
    """Save what a request changes; return whether it changed anything."""

    def attempt() -> bool:
        payment = settlement.store.get(order_id)
        if not request(payment, settlement.clock()):
            return False
        settlement.store.save(payment)
        crash_point(CrashPoint.REFUND_REQUESTED)
        return True

    return retry_on_conflict(attempt)


def _as_json(request: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in request.items()}
