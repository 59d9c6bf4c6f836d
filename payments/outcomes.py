"""The outcomes of many payments at once; orders asks for them before it lets orders expire."""

import logging
import threading
import time
from collections import deque
from contextvars import copy_context
from typing import Any

from libs.context import remaining_seconds
from libs.errors import log_failure
from libs.events import VersionConflict
from payments.domain import Payment
from payments.errors import StripeUnavailable
from payments.settlement import Settlement

log = logging.getLogger(__name__)

LONGEST_SECONDS, REPLY_SECONDS = 3.0, 0.5
"""The longest wait for Stripe, and how much of the caller's time is kept for the reply."""
MAXIMUM_AT_ONCE = 8


class Outcomes:
    """Settles many payments, a few at a time; however long Stripe takes, the caller gets its reply in time."""

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self._slots = threading.BoundedSemaphore(
            MAXIMUM_AT_ONCE
        )  # shared by all calls, so that slow ones do not add up

    def find(self, order_ids: list[str]) -> dict[str, Any]:
        """Return {"unpaid": [id, ...], "settled": [snapshot, ...]}; the outcomes of other orders are unknown.

        Only open payments with a PaymentIntent are settled: without one no card can have been charged, and a payment
        that is not open has a known outcome.
        """
        limit = remaining_seconds(LONGEST_SECONDS + REPLY_SECONDS) - REPLY_SECONDS
        deadline = time.monotonic() + limit
        stored = {payment.id: payment for payment in self.settlement.store.find_all(order_ids)}
        asked = [payment.id for payment in stored.values() if payment.status == "open" and payment.stripe_id]
        known = [payment for payment in stored.values() if payment.id not in asked] + self._settle(asked, deadline)
        unpaid = [ident for ident in order_ids if ident not in stored]
        unpaid += [payment.id for payment in known if payment.status == "open" and payment.confirming_at is None]
        return {"unpaid": unpaid, "settled": [payment.snapshot() for payment in known if payment.status != "open"]}

    def _settle(self, order_ids: list[str], deadline: float) -> list[Payment]:
        """Return the payments that could be settled by the deadline; threads that take longer are left running."""
        waiting, settled = deque(order_ids), deque[Payment]()

        def work() -> None:
            if not self._slots.acquire(timeout=max(0.0, deadline - time.monotonic())):
                return
            try:
                while waiting and time.monotonic() < deadline:
                    self._settle_next(waiting, settled)
            finally:
                self._slots.release()

        threads = [
            threading.Thread(target=copy_context().run, args=(work,), daemon=True)
            for _ in range(min(MAXIMUM_AT_ONCE, len(order_ids)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return list(settled)

    def _settle_next(self, waiting: deque[str], settled: deque[Payment]) -> None:
        """Settle the next payment; while Stripe is unreachable, skip the others."""
        try:
            order_id = waiting.popleft()
        except IndexError:  # another thread was quicker
            return
        try:
            settled.append(self.settlement.settle(order_id)[0])
        except (StripeUnavailable, VersionConflict) as error:
            log.warning("what became of the payment of order %s is unknown: %s", order_id, error)
            if isinstance(error, StripeUnavailable) and not error.is_about_one:
                waiting.clear()
        except Exception as error:  # noqa: BLE001 - one that cannot be settled must not keep the others unknown
            log_failure(log, error, "what became of the payment of order %s is unknown", order_id)
