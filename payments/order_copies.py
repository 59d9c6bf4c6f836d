"""Copying an order when its buyer begins to pay."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from libs.contracts.errors import OrderNotFound
from payments.crash_points import CrashPoint, crash_point
from payments.domain import Payment
from payments.store import PaymentStore, copy_of


def copy_order(
    store: PaymentStore,
    order_id: str,
    fetch: Callable[[str], dict[str, Any]],
    now: datetime,
    may_begin: Callable[[Payment], bool] = lambda payment: False,
) -> Payment | None:
    """Open the payment of an order and copy the order, unless that is done; `fetch` asks orders for its snapshot.

    The payment is opened before orders is asked, so that events after the answer find it: otherwise a cancellation in
    between would be lost. If `may_begin` allows the buyer to pay it, the mark that its PaymentIntent is about to be
    created is stored together with the copy. Returns the payment if its stored state is known, else None. Raises
    OrderNotFound, and whatever `fetch` raises.
    """
    payment = store.find(order_id)
    if payment is not None:
        return payment
    opened = store.open(order_id, now)
    crash_point(CrashPoint.OPENED)
    try:
        order = fetch(order_id)
    except OrderNotFound:
        store.discard(order_id)
        raise
    payment = replace(opened, **copy_of(order)) if opened else None
    if payment is not None and may_begin(payment):
        payment.mark_creation(now)
        if store.begin(payment):
            crash_point(CrashPoint.CREATION_MARKED)
            return payment
    store.store_answer(order)
    return None
