"""Settling a payment: the one way in which Stripe, the payment and its order are reconciled."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from libs.clock import utc_now
from libs.events import VersionConflict
from libs.tracing import traceparent
from payments import disputes
from payments.alarms import alarm
from payments.card_provider import CaptureRefused, CardProvider, UnexpectedStripeError
from payments.crash_points import CrashPoint, crash_point
from payments.creation import Creation
from payments.decisions import Step, decide, matches_order
from payments.domain import Payment
from payments.errors import PaymentInProgress, PaymentRefused, StripeUnavailable
from payments.intent import PaymentIntent
from payments.recording import record
from payments.retries import Result, is_awaited, with_retries
from payments.store import PaymentStore

MAXIMUM_STEPS = 6
"""How many steps one settlement may take beside partial refunds; each but the last changes something at Stripe."""

AUTHORIZED = "requires_capture"
Reading = tuple[Payment, PaymentIntent | None]
"""A payment as stored, and its PaymentIntent as read from Stripe."""


class Settlement:
    """Settles payments; idempotent, and safe to call from anywhere at any time."""

    def __init__(self, store: PaymentStore, cards: CardProvider, clock: Callable[[], datetime] = utc_now) -> None:
        self.store = store
        self.cards = cards
        self.clock = clock
        self.creation = Creation(store, cards, clock)

    def apply_order(self, order: dict[str, Any]) -> None:
        """Store an order's snapshot, then settle, even if it was not new: an earlier worker may have died in between.

        If nobody has begun to pay the order, there is nothing to store or settle. An authorized payment is captured
        without reading its PaymentIntent first: if it is no longer authorized, Stripe refuses, and then it is read.

        Raises what `settle` raises.
        """
        payment = self.store.apply_order(order)
        if payment is not None:
            crash_point(CrashPoint.COPY_STORED)
            if payment.has_work_left:
                self.settle(payment.id, known=self._to_capture(payment))

    def _to_capture(self, payment: Payment) -> Reading | None:
        """Return the payment, and its PaymentIntent as recorded, if it is to be captured now."""
        if payment.status != "authorized" or payment.stripe_id is None:
            return None
        intent = PaymentIntent(payment.stripe_id, AUTHORIZED, "", payment.amount_cents, payment.currency, payment.id)
        return (payment, intent) if decide(payment, intent, self.clock()) is Step.CAPTURE else None

    def settle_unfinished(self, order_id: str, answered: int | None = None) -> Payment:
        """Settle and return the order's payment; do not ask Stripe if nothing is left to do.

        For callers that know of no change at Stripe since it ended. Raises what `settle` raises.
        """
        payment = self.store.get(order_id)
        if payment.has_work_left:
            return self.settle(order_id, answered)[0]
        self.store.update_work_left(payment)
        return payment

    def settle(self, order_id: str, answered: int | None = None, known: Reading | None = None) -> Reading:
        """Do everything that can be done now for the order's payment; return it, and its PaymentIntent as last read.

        `answered`: the attempt to pay that Stripe has answered. `known`: the payment as stored, and its PaymentIntent
        from Stripe's reply to this worker's own request, or as recorded if it is to be captured; saves a reading.

        Raises PaymentNotFound, StripeUnavailable, or VersionConflict when others kept changing it.
        """
        readings: list[Reading] = [known] if known else []
        return self.with_retries(
            order_id, lambda: self._settle(readings.pop() if readings else self._read(order_id), answered)
        )

    def prepare(
        self,
        order_id: str,
        check: Callable[[Payment], None],
        begins_attempt: bool = False,
        may_repeat: bool = False,
        known: Payment | None = None,
    ) -> Reading:
        """Return the order's payment as Stripe has it now, and its PaymentIntent, created if there is none yet.

        `check` raises the reason, if any, why the buyer may not pay. `begins_attempt`: if the payment is still open,
        mark it as being confirmed; raises PaymentInProgress while the outcome of another attempt is unknown, unless
        this one `may_repeat` that with its key. `known`: the payment as it was just read or stored.

        Every step is stored before Stripe is asked, so a crash loses none.
        """
        read = [known] if known else []
        return self.with_retries(
            order_id,
            lambda: self._prepare(read.pop() if read else self.store.get(order_id), check, begins_attempt, may_repeat),
        )

    def with_retries(self, order_id: str, act: Callable[[], Result]) -> Result:
        """Return what `act` returns, repeating it as `retries.with_retries` does.

        If Stripe would replay its failure to the same idempotency keys for a day, new ones are used from then on.
        """
        try:
            return with_retries(act)
        except StripeUnavailable as error:
            if error.is_replayed:
                with suppress(VersionConflict):
                    self._renew_keys(order_id)
            raise

    def _renew_keys(self, order_id: str) -> None:
        payment = self.store.get(order_id)
        payment.key_no += 1
        self._save(payment)

    def _prepare(
        self, payment: Payment, check: Callable[[Payment], None], begins_attempt: bool, may_repeat: bool
    ) -> Reading:
        check(payment)
        if payment.stripe_id is None:
            if payment.creating_at is None:
                self.creation.mark(payment)
            created = self.creation.find_or_create(payment, begins_attempt)
            if created.is_first_reply and (payment.confirming_at or not begins_attempt):
                return payment, created
        payment, intent = self._settle(self._read(payment.id))
        check(payment)
        if begins_attempt and payment.status == "open":
            self._begin_attempt(payment, intent, may_repeat)
        return payment, intent

    def _read(self, order_id: str) -> Reading:
        payment = self.store.get(order_id)
        return payment, self.cards.retrieve(payment.stripe_id) if payment.stripe_id else None

    def _settle(self, reading: Reading, answered: int | None = None) -> Reading:
        """Perform the step that follows from a reading, and so on with each reading after it."""
        refunded = False
        for _ in range(MAXIMUM_STEPS + len(reading[0].partial_refunds)):
            payment, intent = reading
            step = decide(payment, intent, self.clock())
            if step is Step.REFUND and refunded:  # Stripe accepted the refund, and still shows none
                step = Step.GIVE_UP_REFUND
            following = self._perform(step, payment, intent, answered)
            if following is None:
                return payment, intent
            refunded = refunded or step is Step.REFUND
            reading = following
        raise UnexpectedStripeError(f"{payment.stripe_id} does not change, whatever is asked")

    def _begin_attempt(self, payment: Payment, intent: PaymentIntent | None, may_repeat: bool) -> None:
        if payment.confirming_at is not None and not may_repeat:
            raise PaymentInProgress("We are confirming your payment. Do not pay again.")
        if not is_awaited():
            raise StripeUnavailable("Stripe took so long that the caller's deadline has passed")
        payment.begin_attempt(self.clock(), intent.last_payment_method if intent else None)
        payment.traceparent = traceparent() or payment.traceparent
        self.store.save(payment)
        crash_point(CrashPoint.ATTEMPT_MARKED)

    def _save(self, payment: Payment) -> None:
        payment.mark_changed(self.clock())
        self.store.save(payment)

    def _perform(
        self, step: Step, payment: Payment, intent: PaymentIntent | None, answered: int | None
    ) -> Reading | None:
        """Perform one step; return the reading to continue from, or None at the end."""
        if step is Step.FIND_OR_CREATE:
            with suppress(PaymentRefused):  # the refusal is recorded, and leaves nothing to do
                self.creation.find_or_create(payment)
            return self._read(payment.id)
        if intent is None or step is Step.WAIT:
            self._wait(payment, intent)
            return None
        if step is Step.RECORD:
            self._record(payment, intent, answered)
            return None
        if step is Step.CAPTURE:
            return self._capture(payment, intent)
        if step is Step.GIVE_UP_REFUND:
            self._give_up_refund(payment, intent)
        elif step is Step.ABANDON_PARTIAL_REFUND:
            self._abandon_partial_refund(payment, intent)
        elif step is Step.REFUND_PARTIALLY:
            self._refund_partially(payment, intent)
        else:
            self._cancel_or_refund(step, payment, intent)
        return self._read(payment.id)

    def _cancel_or_refund(self, step: Step, payment: Payment, intent: PaymentIntent) -> None:
        if not (payment.is_paid_by(intent) if step is Step.REFUND else matches_order(payment, intent)):
            alarm(self.store, "wrong_amount", f"{intent.id} is not for what order {payment.id} costs, so it ends")
        if step is Step.REFUND:
            self.cards.refund(intent.id, payment.key_no)
            crash_point(CrashPoint.REFUNDED)
        else:
            self.cards.cancel(intent.id, payment.key_no)
            crash_point(CrashPoint.CANCELLED)

    def _refund_partially(self, payment: Payment, intent: PaymentIntent) -> None:
        refund = payment.next_partial_refund(intent)
        assert refund is not None
        try:
            self.cards.refund_partially(intent.id, refund["id"], refund["amount_cents"], refund["key_no"])
        except StripeUnavailable as error:
            if error.is_replayed:
                payment.postpone_partial_refund(refund["id"], self.clock())
                self.store.save(payment)
                error.may_be_repeated = False
            raise
        crash_point(CrashPoint.REFUNDED)

    def _give_up_refund(self, payment: Payment, intent: PaymentIntent) -> None:
        """Leave the refund to an operator: a second one might duplicate a first that only seems to have failed."""
        payment.mark_refund_failed(intent, self.clock())
        self._save(payment)
        self._alarm_refund_failed(payment)

    def _alarm_refund_failed(self, payment: Payment) -> None:
        alarm(self.store, "refund_failed", f"Stripe could not refund {payment.stripe_id} of order {payment.id}")

    def _abandon_partial_refund(self, payment: Payment, intent: PaymentIntent) -> None:
        """Abandon a refund that a dispute, or too little left after one at Stripe, forbids; nothing has failed."""
        payment.abandon_next_partial_refund(intent, self.clock())
        self.store.save(payment)
        what = f"less is left of {payment.stripe_id} of order {payment.id}, or it is disputed"
        alarm(self.store, "refund_abandoned", f"a partial refund cannot be made: {what}")

    def _wait(self, payment: Payment, intent: PaymentIntent | None) -> None:
        """Leave the payment as it is; while the bank is processing a card, it counts as being confirmed."""
        if intent is not None and payment.confirming_at is None:
            payment.confirming_at = self.clock()
            self._save(payment)
        else:
            self.store.update_work_left(payment)

    def _record(self, payment: Payment, intent: PaymentIntent, answered: int | None) -> None:
        disputed_before, failed_before = payment.dispute, payment.failed_refunds
        event = record(payment, intent, self.clock(), answered)
        if event is None:
            self.store.update_work_left(payment)
            return
        self.store.save(payment, event)
        crash_point(CrashPoint.RECORDED)
        what = f"{payment.stripe_id} of order {payment.id}"
        if payment.failed_refunds > failed_before:
            self._alarm_refund_failed(payment)
        if event == "PaymentRefunded" and intent.has_duplicate_refund:
            alarm(self.store, "duplicate_refund", what)
        if payment.dispute and disputes.needs_attention(disputed_before, payment.dispute):
            alarm(self.store, "dispute_opened", f"{what} is disputed: {payment.dispute['status']}")

    def _capture(self, payment: Payment, intent: PaymentIntent) -> Reading | None:
        try:
            captured = self.cards.capture(intent.id, payment.capture_tries + payment.key_no + 1)
        except CaptureRefused:
            payment.count_refused_capture(self.clock())
            self.store.save(payment)
            return None  # the reconciler tries again
        crash_point(CrashPoint.CAPTURED)
        return (payment, captured) if captured else self._read(payment.id)
