"""Creating an order's PaymentIntent: only one, whatever fails, and even if several workers try at the same time."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from libs.events import VersionConflict
from libs.tracing import traceparent
from payments.alarms import alarm
from payments.card_provider import CardProvider, CreationRefused
from payments.crash_points import CrashPoint, crash_point
from payments.domain import Payment
from payments.errors import PaymentRefused, StripeUnavailable
from payments.intent import PaymentIntent
from payments.retries import is_awaited
from payments.store import PaymentStore

log = logging.getLogger(__name__)

KEY_LIFETIME = timedelta(hours=20)
"""How long Stripe is certain to replay its reply to a request with the same key; it keeps keys for 24 hours."""
SEARCH_LAG = timedelta(hours=1)
"""How far Stripe's search may lag: much more than documented (https://docs.stripe.com/search), clock skew included."""
CLOCK_SKEW = timedelta(minutes=5)
"""How far Stripe's clock may be off from ours."""
REFUSALS = {
    "amount_too_small": "This price is too low to be paid by card. You were not charged.",
    "amount_too_large": "This price is too high to be paid by card. You were not charged.",
}
"""The message for a buyer whose payment Stripe refuses, by Stripe's code."""
REFUSED = "This order cannot be paid by card. You were not charged."


class Creation:
    """Finds or creates the PaymentIntents of payments whose creation was marked."""

    def __init__(self, store: PaymentStore, cards: CardProvider, clock: Callable[[], datetime]) -> None:
        self.store = store
        self.cards = cards
        self.clock = clock

    def mark(self, payment: Payment) -> None:
        """Store that a PaymentIntent is about to be created, so that a crash leaves a trace."""
        payment.mark_creation(self.clock())
        self.store.save(payment)
        crash_point(CrashPoint.CREATION_MARKED)

    def find_or_create(self, payment: Payment, begins_attempt: bool = False) -> PaymentIntent:
        """Return the payment's PaymentIntent, found or created, and stored in the payment.

        `begins_attempt`: if this call created it, mark in the same update that a card is about to be charged; nobody
        else can have used it yet. Raises VersionConflict when another worker was quicker, and PaymentRefused.
        """
        try:
            intent = self._find(payment) or self.cards.create(payment.order, payment.key_no)
        except CreationRefused as error:
            self._record_refusal(payment, error)
            raise PaymentRefused(REFUSALS.get(error.code or "", REFUSED)) from error
        crash_point(CrashPoint.INTENT_CREATED)
        payment.stripe_id, payment.creating_at = intent.id, None
        payment.traceparent = traceparent() or payment.traceparent
        if begins_attempt and intent.is_first_reply and is_awaited():
            payment.begin_attempt(self.clock(), intent.last_payment_method)
        else:
            payment.mark_changed(self.clock())
        try:
            self.store.save(payment)
        except VersionConflict:
            self._cancel_if_lost(payment.id, intent.id)
            raise
        crash_point(CrashPoint.INTENT_STORED)
        if payment.confirming_at is not None:
            crash_point(CrashPoint.ATTEMPT_MARKED)
        return intent

    def _record_refusal(self, payment: Payment, error: CreationRefused) -> None:
        payment.mark_creation_refused(self.clock())
        self.store.save(payment)
        alarm(self.store, "payment_refused", f"Stripe takes no payment for order {payment.id}: {error}")

    def _find(self, payment: Payment) -> PaymentIntent | None:
        """Search for it, unless Stripe is certain to replay its reply to the first key.

        After a day, or with a new key, only a search prevents a second PaymentIntent: Stripe may have created one even
        if it answered with a failure.
        """
        began, now = payment.creating_at or self.clock(), self.clock()
        if payment.key_no == 0 and now - began < KEY_LIFETIME:
            return None
        return self.cards.find(payment.id, max(began - CLOCK_SKEW, now - SEARCH_LAG))

    def _cancel_if_lost(self, order_id: str, stripe_id: str) -> None:
        """Cancel a PaymentIntent that could not be stored, unless the order has the same one, or none.

        If that fails, the audit cancels it.
        """
        if self.store.get(order_id).stripe_id in (None, stripe_id):
            return
        log.warning("order %s has another PaymentIntent than %s, which is cancelled", order_id, stripe_id)
        try:
            self.cards.cancel(stripe_id)
        except StripeUnavailable as error:
            log.warning("%s is left to the audit: %s", stripe_id, error)
