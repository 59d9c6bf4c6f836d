"""Settling a payment: the one way in which Stripe, the payment and its order are reconciled."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from libs.clock import utc_now
from libs.events import VersionConflict
from payments.alarms import alarm
from payments.card_provider import CaptureRefused, CardProvider, StripeBusy, StripeFailure
from payments.crash_points import CrashPoint, crash_point
from payments.decisions import Step, decide, matches_order
from payments.domain import Payment
from payments.errors import PaymentInProgress
from payments.intent import PaymentIntent
from payments.recording import record
from payments.store import PaymentStore

MAXIMUM_LOOKS, PAUSE_SECONDS = 12, 0.02
KEY_LIFETIME = timedelta(hours=20)
"""How long Stripe is sure to replay its reply to a request with the same key; it keeps keys for 24 hours."""
SEARCH_LAG = timedelta(hours=1)
"""How far Stripe's search may lag: much more than documented (https://docs.stripe.com/search), clock skew included."""


class Settlement:
    """Settles payments; idempotent, and safe to call from anywhere at any time."""

    def __init__(self, store: PaymentStore, cards: CardProvider, clock: Callable[[], datetime] = utc_now) -> None:
        self.store = store
        self.cards = cards
        self.clock = clock

    def follow(self, order: dict[str, Any]) -> None:
        """Store an order's snapshot, then settle, new or not: an earlier worker may have died before settling.

        Raises as `settle` does.
        """
        if self.store.follow(order, self.clock()):
            crash_point(CrashPoint.COPY_STORED)
            self.settle(order["id"])

    def settle(self, order_id: str, answered: int | None = None) -> tuple[Payment, PaymentIntent | None]:
        """Do all that can be done now for the order's payment; return it, and its PaymentIntent as last read.

        `answered`: the attempt to pay that Stripe has answered. Raises PaymentNotFound, StripeUnavailable, or
        VersionConflict when others kept changing it.
        """
        refunded = False
        for number in range(MAXIMUM_LOOKS):
            try:
                payment = self.store.get(order_id)
                intent = self.cards.retrieve(payment.stripe_id) if payment.stripe_id else None
                step = decide(payment, intent, self.clock())
                if step is Step.REFUND and refunded:  # Stripe accepted the refund, and still shows none
                    step = Step.GIVE_UP_REFUND
                looks_again = self._perform(step, payment, intent, answered)
                refunded = refunded or step is Step.REFUND  # only once Stripe has answered
                if not looks_again:
                    return payment, intent
            except (VersionConflict, StripeBusy):
                time.sleep(PAUSE_SECONDS * number)
        raise VersionConflict(f"the payment of order {order_id} keeps changing")

    def prepare(
        self,
        order_id: str,
        check: Callable[[Payment], None],
        begins_attempt: bool = False,
        may_repeat: bool = False,
    ) -> tuple[Payment, PaymentIntent | None]:
        """Return the order's payment as Stripe has it now, and its PaymentIntent, created if there is none yet.

        `check` raises what forbids the buyer to pay. `begins_attempt`: if the payment is still open, mark it as being
        confirmed; raises PaymentInProgress while the outcome of another attempt is unknown, unless this one
        `may_repeat` that under its key. Every step is stored before Stripe is asked, so a crash loses none.
        """
        for number in range(MAXIMUM_LOOKS):
            payment = self.store.get(order_id)
            check(payment)
            try:
                if payment.stripe_id is None:
                    self._create(payment)
                    continue
                payment, intent = self.settle(order_id)
                check(payment)
                if begins_attempt and payment.status == "open":
                    self._begin_attempt(payment, intent, may_repeat)
                return payment, intent
            except (VersionConflict, StripeBusy):
                time.sleep(PAUSE_SECONDS * number)
        raise VersionConflict(f"the payment of order {order_id} keeps changing")

    def _begin_attempt(self, payment: Payment, intent: PaymentIntent | None, may_repeat: bool) -> None:
        if payment.confirming_at is not None and not may_repeat:
            raise PaymentInProgress("We are confirming your payment. Do not pay again.")
        payment.begin_attempt(self.clock(), intent.last_payment_method if intent else None)
        self.store.save(payment)
        crash_point(CrashPoint.ATTEMPT_MARKED)

    def _create(self, payment: Payment) -> None:
        if payment.creating_at is None:
            payment.creating_at = self.clock()
            self._save(payment)
            crash_point(CrashPoint.CREATION_MARKED)
        self._find_or_create(payment)

    def _save(self, payment: Payment) -> None:
        payment.mark_changed(self.clock())
        self.store.save(payment)

    def _perform(self, step: Step, payment: Payment, intent: PaymentIntent | None, answered: int | None) -> bool:
        """Perform one step; return whether to look again."""
        if step is Step.FIND_OR_CREATE:
            self._find_or_create(payment)
            return True
        if intent is None or step is Step.WAIT:
            return self._wait(payment, intent)
        if step is Step.RECORD:
            return self._record(payment, intent, answered)
        if step is Step.GIVE_UP_REFUND:
            return self._give_up_refund(payment, intent)
        try:
            return self._request(step, payment, intent)
        except StripeFailure as error:
            self.renew_key_after(payment, error)
            raise

    def renew_key_after(self, payment: Payment, error: Exception) -> None:
        """Use a new idempotency key from now on, if Stripe would replay this failure for the old one for a day."""
        if isinstance(error, StripeFailure):
            payment.key_no += 1
            self._save(payment)

    def _request(self, step: Step, payment: Payment, intent: PaymentIntent) -> bool:
        """Request something of Stripe; return whether to look again."""
        if step is Step.CAPTURE:
            return self._capture(payment, intent)
        if not (payment.is_paid_by(intent) if step is Step.REFUND else matches_order(payment, intent)):
            alarm(self.store, "wrong_amount", f"{intent.id} is not for what order {payment.id} costs, so it ends")
        if step is Step.REFUND:
            self.cards.refund(intent.id, payment.key_no)
            crash_point(CrashPoint.REFUNDED)
            return True
        self.cards.cancel(intent.id, payment.key_no)
        crash_point(CrashPoint.CANCELLED)
        return True

    def _give_up_refund(self, payment: Payment, intent: PaymentIntent) -> bool:
        """Leave it to an operator: a second refund might add to a first one that only looks failed."""
        payment.mark_refund_failed(intent, self.clock())
        self.store.save(payment)
        alarm(self.store, "refund_failed", f"Stripe could not refund {payment.stripe_id} of order {payment.id}")
        return True

    def _wait(self, payment: Payment, intent: PaymentIntent | None) -> bool:
        """Leave it as it is; while the bank is still processing a card, the payment is being confirmed."""
        if intent is not None and payment.confirming_at is None:
            payment.confirming_at = self.clock()
            self._save(payment)
        else:
            self.store.update_work_left(payment)
        return False

    def _record(self, payment: Payment, intent: PaymentIntent, answered: int | None) -> bool:
        event = record(payment, intent, self.clock(), answered)
        if event is None:
            self.store.update_work_left(payment)
        else:
            self.store.save(payment, event)
            crash_point(CrashPoint.RECORDED)
        return False

    def _capture(self, payment: Payment, intent: PaymentIntent) -> bool:
        try:
            self.cards.capture(intent.id, payment.capture_tries + payment.key_no + 1)
            crash_point(CrashPoint.CAPTURED)
        except CaptureRefused:
            payment.count_refused_capture(self.clock())
            self.store.save(payment)
            return False  # the reconciler tries again
        return True

    def _find_or_create(self, payment: Payment) -> None:
        """Find or create the PaymentIntent: only repeating its first key, within a day, surely makes no second one.

        Stripe replays a failure for its key, and may have created a PaymentIntent all the same.
        """
        now = self.clock()
        is_replayed = payment.key_no == 0 and now - (payment.creating_at or now) < KEY_LIFETIME
        try:
            intent = None if is_replayed else self.cards.find(payment.id, now - SEARCH_LAG)
            payment.stripe_id = (intent or self.cards.create(payment.order, payment.key_no)).id
        except StripeFailure as error:
            self.renew_key_after(payment, error)
            raise
        crash_point(CrashPoint.INTENT_CREATED)
        payment.creating_at = None
        self._save(payment)
        crash_point(CrashPoint.INTENT_STORED)
