"""Settling a payment: the one way in which Stripe, the payment and its order are brought together."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from libs.clock import utc_now
from libs.events import VersionConflict
from payments.card_provider import Busy, CaptureRefused, CardProvider
from payments.domain import Intent, Payment, Step, decide
from payments.store import PaymentStore

ROUNDS, PAUSE_SECONDS = 12, 0.02
KEY_LIFETIME = timedelta(hours=20)
"""How long a repeated request with the same key is sure to be replayed by Stripe, which keeps keys for 24 hours."""


class Settlement:
    """Brings payments forward; safe to call from anywhere, at any time, any number of times."""

    def __init__(self, store: PaymentStore, cards: CardProvider, clock: Callable[[], datetime] = utc_now) -> None:
        self.store = store
        self.cards = cards
        self.clock = clock

    def settle(self, order_id: str) -> tuple[Payment, Intent | None]:
        """Do all that can be done now for the order's payment; return it, and its PaymentIntent as last read.

        Raises PaymentNotFound, StripeUnavailable, or VersionConflict when others kept changing it.
        """
        for number in range(ROUNDS):
            try:
                payment = self.store.get(order_id)
                intent = self.cards.retrieve(payment.stripe_id) if payment.stripe_id else None
                if not self._take(decide(payment, intent, self.clock()), payment, intent):
                    return payment, intent
            except (VersionConflict, Busy):
                time.sleep(PAUSE_SECONDS * number)
        raise VersionConflict(f"the payment of order {order_id} keeps changing")

    def begin(self, order_id: str, check: Callable[[Payment], None]) -> Payment:
        """Return the order's payment as Stripe has it now and, if it is still open, marked as being confirmed.

        Its PaymentIntent is made if there is none yet. `check` raises what forbids to pay. Every step leaves its trace
        before Stripe is asked, so that a crash loses none.
        """
        for number in range(ROUNDS):
            payment = self.store.get(order_id)
            check(payment)
            try:
                if payment.stripe_id is None:
                    self._create(payment)
                elif (payment := self._settled(payment, check)).status != "open":
                    return payment
                else:
                    return self._mark_confirming(payment)
            except (VersionConflict, Busy):
                time.sleep(PAUSE_SECONDS * number)
        raise VersionConflict(f"the payment of order {order_id} keeps changing")

    def _settled(self, payment: Payment, check: Callable[[Payment], None]) -> Payment:
        settled = self.settle(payment.id)[0]
        check(settled)
        return settled

    def _create(self, payment: Payment) -> None:
        if payment.creating_at is None:
            payment.creating_at = self.clock()
            self._save(payment)
        self._find(payment)

    def _mark_confirming(self, payment: Payment) -> Payment:
        payment.confirming_at = self.clock()
        self._save(payment)
        return payment

    def _save(self, payment: Payment) -> None:
        payment.saved(self.clock())
        self.store.save(payment)

    def _take(self, step: Step, payment: Payment, intent: Intent | None) -> bool:
        """Take one step; return whether another look is needed."""
        if step is Step.FIND:
            self._find(payment)
        elif intent is None or step is Step.REST:
            self.store.rest(payment)
            return False
        elif step is Step.CANCEL:
            self.cards.cancel(intent.id)
        elif step is Step.REFUND:
            self.cards.refund(intent.id)
        elif step is Step.CAPTURE:
            return self._capture(payment, intent)
        else:
            return self._record(payment, intent)
        return True

    def _record(self, payment: Payment, intent: Intent) -> bool:
        event = payment.record(intent, self.clock())
        if event is None:
            self.store.rest(payment)
        else:
            self.store.save(payment, event)
        return False

    def _capture(self, payment: Payment, intent: Intent) -> bool:
        try:
            self.cards.capture(intent.id, payment.capture_tries + 1)
        except CaptureRefused:
            payment.capture_was_refused(self.clock())
            self.store.save(payment)
            return False  # the reconciler tries again
        return True

    def _find(self, payment: Payment) -> None:
        fresh = payment.creating_at is not None and self.clock() - payment.creating_at < KEY_LIFETIME
        intent = None if fresh else self.cards.search(payment.id)
        payment.stripe_id = (intent or self.cards.create(payment.order)).id
        payment.creating_at = None
        self._save(payment)
