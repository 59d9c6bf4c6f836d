"""Copying an order once somebody begins to pay it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from libs.contracts.errors import OrderNotFound
from payments.crash_points import CrashPoint, crash_point
from payments.store import PaymentStore


def copy_order(store: PaymentStore, order_id: str, fetch: Callable[[str], dict[str, Any]], now: datetime) -> None:
    """Open the payment of an order and copy the order, unless that is done; `fetch` asks orders for its snapshot.

    The payment is opened before orders is asked, so that what becomes of the order after the answer finds the payment:
    the event of a cancellation that came in between would be lost. Raises OrderNotFound, and whatever `fetch` raises.
    """
    if store.find(order_id) is not None:
        return
    store.open(order_id, now)
    crash_point(CrashPoint.OPENED)
    try:
        store.store_answer(fetch(order_id))
    except OrderNotFound:
        store.discard(order_id)
        raise
