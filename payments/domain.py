"""The payment of an order: its stored state, and the rules for its buyer and for operators."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from libs.contracts.errors import NotOwner
from payments import disputes
from payments.errors import (
    AlreadyRefunded,
    ChargeDisputed,
    NotCaptured,
    OrderCancelled,
    RefundTooLarge,
    RefundUnderWay,
)
from payments.intent import PaymentIntent, request_of

MAXIMUM_DECLINES = 3
UNDER_WAY_PERIOD = timedelta(minutes=10)
"""How long Stripe may still be carrying out a request after it failed, or after a partial refund was abandoned.

Stripe's own libraries wait for 80 s; the rest is for clocks that differ. A server error leaves the outcome undecided:
https://docs.stripe.com/error-low-level#server-errors
"""


@dataclass
class Payment:
    """The money of one order; its id is the order's. `order` is our copy of the order.

    `creating_at` is set from before the PaymentIntent is created until its id, or Stripe's refusal, is stored,
    `confirming_at` from before a card is charged until the outcome is known: so a crash in between leaves a trace.
    `attempts` counts the attempts to charge a card; `tried_before` is the PaymentMethod tried before the newest, None
    if that is unknown. `refund` records who asked for a refund, when and why, `earlier_refunds` the same of those that
    failed before, oldest first.
    `dispute` is the newest one, or an inquiry, as in `disputes`.
    `key_no` makes new idempotency keys after Stripe failed or refused, as it would replay its failure for the old ones.
    `refund_failed_at`: when a refund failed; everything is not refunded until an operator asks for it again.
    `owed_cents`: how much of the failed refunds was not returned since, such as by a refund in the dashboard; None if
    an earlier version has recorded the failure. `failed_refunds` counts the failed refunds that have been recorded.
    `partial_refunds` are those that operators asked for, oldest first, as {"id", "amount_cents", "by", "reason", "at",
    "state"}: requested, created (Stripe has a refund of this id), failed (and that came back) or abandoned; `key_no`
    and `failed_at`: the number of its idempotency key, which is new since Stripe last answered with a failure;
    `abandoned_at`. `traceparent` is the span in which a card was last to be charged, to link Stripe's webhooks to;
    nothing depends on it.
    """

    id: str
    version: int
    status: str
    order: dict[str, Any]
    stripe_id: str | None
    creating_at: datetime | None
    confirming_at: datetime | None
    amount_cents: int
    currency: str
    declines: int
    decline_code: str | None
    capture_tries: int
    capture_refused_at: datetime | None
    card_brand: str | None
    card_last4: str | None
    created_at: datetime
    updated_at: datetime
    attempts: int = 0
    refunded_cents: int = 0
    refund: dict[str, Any] | None = None
    dispute: dict[str, Any] | None = None
    key_no: int = 0
    captured_at: datetime | None = None
    refund_failed_at: datetime | None = None
    owed_cents: int | None = None
    refunding_cents: int = 0
    failed_refunds: int = 0
    refunded_at: datetime | None = None
    tried_before: str | None = None
    is_challenged: bool = False
    earlier_refunds: list[dict[str, Any]] = field(default_factory=list)
    partial_refunds: list[dict[str, Any]] = field(default_factory=list)
    traceparent: str | None = None

    @classmethod
    def open(cls, order: dict[str, Any], now: datetime) -> "Payment":
        """Return the payment of an order that nobody has begun to pay."""
        return cls(
            id=order["id"], version=1, status="open", order=order, stripe_id=None, creating_at=None,
            confirming_at=None, amount_cents=order["price_cents"], currency=order["currency"].lower(), declines=0,
            decline_code=None, capture_tries=0, capture_refused_at=None, card_brand=None, card_last4=None,
            created_at=now, updated_at=now,
        )  # fmt: skip

    @property
    def attempt_key(self) -> str:
        """The prefix of the idempotency keys of the current attempt."""
        return f"{self.id}:{self.attempts}" + (f":{self.key_no}" if self.key_no else "")

    @property
    def remaining(self) -> int:
        """How many more cards may be tried."""
        return max(0, MAXIMUM_DECLINES - self.declines) if self.status == "open" else 0

    @property
    def has_work_left(self) -> bool:
        """Whether the reconciler has to visit it: Stripe and the order do not agree yet."""
        if self.stripe_id is None:
            return self.creating_at is not None
        is_going_back = self.refunding_cents > 0 or bool(self.requested_refunds)
        if self.refund_failed_at is not None and not is_going_back:
            return False
        if self.status == "captured":
            is_going_back = is_going_back or self.refund is not None
            return (self.order["status"] != "complete" or is_going_back) and not disputes.is_lost(self.dispute)
        return self.status not in ("cancelled", "refunded")

    @property
    def has_ended(self) -> bool:
        """Whether it is final that we keep no money: the payment is cancelled, or refunded in full."""
        return self.status in ("cancelled", "refunded")

    def check_payable(self, buyer_id: str) -> None:
        """Raise the reason, if any, why this buyer may not pay. Only orders judges the deadline."""
        self.check_owner(buyer_id)
        if self.order["status"] == "cancelled" or (self.has_ended and self.order["status"] != "complete"):
            raise self.order_cancelled()

    def order_cancelled(self) -> OrderCancelled:
        """Return the error for the buyer of a cancelled order."""
        charged = self.stripe_id is not None and self.status != "cancelled"
        end = "if anything was taken for it, you get it back." if charged else "you have not been charged."
        return OrderCancelled(f"This order was cancelled; {end}")

    def check_owner(self, buyer_id: str) -> None:
        """Raise NotOwner unless the order is this buyer's."""
        if self.order["buyer_id"] != buyer_id:
            raise NotOwner("This order is not yours.")

    def may_be_paid_by(self, buyer_id: str) -> bool:
        """Whether nothing forbids this buyer to pay."""
        try:
            self.check_payable(buyer_id)
        except (NotOwner, OrderCancelled):
            return False
        return True

    def mark_creation(self, now: datetime) -> None:
        """Mark that the PaymentIntent is about to be created."""
        self.creating_at = now
        self.mark_changed(now)

    def mark_creation_refused(self, now: datetime) -> None:
        """Record that Stripe refused to create the PaymentIntent; the next try uses another key."""
        self.creating_at, self.key_no = None, self.key_no + 1
        self.mark_changed(now)

    def begin_attempt(self, now: datetime, last_payment_method: str | None = None) -> None:
        """Mark that a card is about to be charged; it is the same attempt while the outcome of the last is unknown.

        `last_payment_method`: the one that was tried last, according to Stripe. It cannot tell two attempts in flight
        apart.
        """
        self.tried_before = last_payment_method if self.confirming_at is None else None
        if self.confirming_at is None:
            self.attempts += 1
        self.confirming_at = now
        self.mark_changed(now)

    def is_paid_by(self, intent: PaymentIntent) -> bool:
        """Whether exactly the order's price was captured; nothing else completes the order."""
        is_exact = (intent.taken_cents, intent.currency) == (self.amount_cents, self.currency)
        return is_exact or self.order["status"] == "complete"

    def check_refundable(self) -> None:
        """Raise the reason, if any, why no operator can refund it."""
        if self.status != "captured" and self.refund_failed_at is None:
            raise NotCaptured("Nothing was taken for this order, so there is nothing to refund.")
        if self.dispute is not None and disputes.forbids_refund(self.dispute):
            raise ChargeDisputed(disputes.refusal(self.dispute))

    def request_refund(self, requested_by: str, reason: str, now: datetime) -> bool:
        """Record that an operator requests a full refund; an earlier request that failed is kept.

        Returns False when this operator has requested it already. Raises AlreadyRefunded when somebody else has, and
        what `check_refundable` raises.
        """
        if self.refund is not None and self.refund_failed_at is None:
            if self.refund["by"] != requested_by:
                raise already_refunded(self.refund)
            return False
        if self.status == "refunded":
            raise AlreadyRefunded("This order was refunded at Stripe already, by nobody who operates here.")
        self.check_refundable()
        if self.refund is not None:
            self.earlier_refunds = [*self.earlier_refunds, self.refund]
        self.refund = {"by": requested_by, "reason": reason, "at": now}
        if self.refund_failed_at is not None:
            self.refund_failed_at, self.key_no = None, self.key_no + 1
        self._abandon(now, lambda refund: True)  # everything includes them
        self.mark_changed(now)
        return True

    @property
    def failed_partial_refunds(self) -> list[dict[str, Any]]:
        """The partial refunds that failed, and were not requested again."""
        newest = {request_of(refund["id"]): refund for refund in self.partial_refunds}
        return [refund for refund in newest.values() if refund["state"] == "failed"]

    @property
    def has_refund_failed(self) -> bool:
        """Whether the buyer was to get money back, and did not; unknown while a dispute is being decided."""
        is_undecided = disputes.is_open(self.dispute) and disputes.forbids_refund(self.dispute)
        return self.is_refund_owed and not self.has_ended and not is_undecided

    @property
    def is_refund_owed(self) -> bool:
        """Whether a refund failed, and not as much was returned since."""
        is_made_good = self.owed_cents is not None and self.owed_cents <= 0 and not self.is_all_wanted_back
        return self.refund_failed_at is not None and not is_made_good

    @property
    def is_all_wanted_back(self) -> bool:
        """Whether everything is to be refunded."""
        return self.refund is not None or self.order["status"] != "complete"

    @property
    def _returned_cents(self) -> int:
        return self.refunded_cents + self.refunding_cents + disputes.lost_cents(self.dispute)

    @property
    def _shortfall_cents(self) -> int:
        """How much less was returned than all partial refunds requested from Stripe; below zero if it is more."""
        return self._partially("created") + self._partially("failed") - self._returned_cents

    def _count_failed(self) -> int:
        return sum(refund["state"] == "failed" for refund in self.partial_refunds)

    def _partially(self, state: str) -> int:
        return sum(refund["amount_cents"] for refund in self.partial_refunds if refund["state"] == state)

    def note_refunds(self, intent: PaymentIntent, now: datetime) -> None:
        """Record the refunds and disputes at Stripe, and how much is owed to the buyer since refunds failed."""
        owed = self.owed_cents if self.refund_failed_at else 0
        shortfall, failures = self._shortfall_cents, self.failed_refunds - self._count_failed()
        is_all_returned = self._returned_cents >= self.amount_cents
        awaits_all = self.refund is not None and self.refund_failed_at is None and not is_all_returned
        self.refunded_cents, self.refunding_cents = intent.refunded_cents, intent.refunding_cents
        self.dispute = intent.dispute or self.dispute
        self._note_partial_refunds(intent, now)
        if awaits_all and intent.failed_refunds - self._count_failed() == failures:
            self.failed_refunds = intent.failed_refunds  # only partial ones, which the refund of everything includes
        elif intent.failed_refunds > self.failed_refunds:
            self.mark_refund_failed(intent, now)
            owed = owed and max(0, owed)  # an earlier excess does not offset what fails later
        if owed is not None:
            owed += self._shortfall_cents - shortfall
        self.owed_cents = owed if self.refund_failed_at else None
        if self.refunded_cents + disputes.lost_cents(self.dispute) >= self.amount_cents:
            self.refund_failed_at = None

    @property
    def requested_refunds(self) -> list[dict[str, Any]]:
        """The partial refunds that are not made yet."""
        return [refund for refund in self.partial_refunds if refund["state"] == "requested"]

    def next_partial_refund(self, intent: PaymentIntent) -> dict[str, Any] | None:
        """Return the partial refund to make next, None if there is none.

        A request for which Stripe has a refund is done, even if that is an earlier one that was abandoned meanwhile.
        """
        refunded = intent.requests_refunded
        waiting = (refund for refund in self.requested_refunds if refund["id"] not in intent.refund_ids)
        return next((refund for refund in waiting if request_of(refund["id"]) not in refunded), None)

    def may_ask_for(self, refund: dict[str, Any], now: datetime) -> bool:
        """Whether Stripe may be asked for a partial refund: with a new key, not while the old request may still run."""
        failed_at = refund["failed_at"]
        return failed_at is None or now - failed_at >= UNDER_WAY_PERIOD

    def postpone_partial_refund(self, ident: str, now: datetime) -> None:
        """Record that Stripe answered with a failure, which it would replay: the next try uses a new key, but later.

        Later, because Stripe may still make the refund; after UNDER_WAY_PERIOD the next reading shows whether it did.
        """
        self.partial_refunds = [
            {**refund, "key_no": refund["key_no"] + 1, "failed_at": now} if refund["id"] == ident else refund
            for refund in self.partial_refunds
        ]
        self.mark_changed(now)

    def refunds_like(self, amount_cents: int, reason: str) -> list[dict[str, Any]]:
        """Return the partial refunds of identical requests, whoever made them, oldest first."""
        about = amount_cents, reason
        return [refund for refund in self.partial_refunds if (refund["amount_cents"], refund["reason"]) == about]

    def request_partial_refund(
        self, ident: str, amount_cents: int, requested_by: str, reason: str, now: datetime
    ) -> bool:
        """Record that an operator requests a partial refund: once for each amount and reason, and again if that failed.

        Returns False when it was requested already, and did not fail, or as much was returned since. Raises
        AlreadyRefunded when a full refund was, RefundTooLarge when less is left, RefundUnderWay when an abandoned one
        may still be made, and what `check_refundable` raises.
        """
        alike = self.refunds_like(amount_cents, reason)
        if any(refund["state"] in ("requested", "created") for refund in alike):
            return False
        is_repeated = bool(alike) and alike[-1]["state"] == "failed"
        if is_repeated and self.refund_failed_at is not None and not self.is_refund_owed:
            return False
        self._check_partially_refundable(amount_cents)
        if alike:
            ident = f"{request_of(alike[-1]['id'])}-{len(alike)}"
            _check_over(alike[-1], now)
        if self.refund is not None:  # it failed, and is no longer wanted in full
            self.earlier_refunds, self.refund = [*self.earlier_refunds, self.refund], None
            self.key_no += 1
            self.owed_cents = sum(refund["amount_cents"] for refund in self.failed_partial_refunds)
        if is_repeated and self.owed_cents is not None:
            self.owed_cents -= amount_cents
        about = {"id": ident, "amount_cents": amount_cents, "by": requested_by, "reason": reason, "at": now}
        self.partial_refunds = [*self.partial_refunds, {**about, "state": "requested", "key_no": 0, "failed_at": None}]
        is_owed = bool(self.failed_partial_refunds) if self.owed_cents is None else self.owed_cents > 0
        if self.refund_failed_at is not None and not is_owed:
            self.refund_failed_at, self.key_no = None, self.key_no + 1
        self.mark_changed(now)
        return True

    def _check_partially_refundable(self, amount_cents: int) -> None:
        if self.refund is not None and self.refund_failed_at is None:
            raise already_refunded(self.refund)
        if self.status == "refunded":
            raise AlreadyRefunded("This order was refunded in full already.")
        self.check_refundable()
        if self.order["status"] != "complete":  # it may still be cancelled, and then everything goes back
            raise NotCaptured("This order is not complete yet, so it cannot be refunded partially.")
        left = self.amount_cents - self.refunded_cents - self.refunding_cents - self._partially("requested")
        if amount_cents > left:
            raise RefundTooLarge(f"Only {left} (in the currency's minor unit) are left to refund.", left_cents=left)

    def _note_partial_refunds(self, intent: PaymentIntent, now: datetime) -> None:
        """Record which partial refunds Stripe has made, even one that was abandoned meanwhile.

        In that case the one that was requested in its place is abandoned.
        """
        states = {**dict.fromkeys(intent.refund_ids, "created"), **dict.fromkeys(intent.failed_refund_ids, "failed")}
        self.partial_refunds = [
            {**refund, "state": states.get(refund["id"], refund["state"])} for refund in self.partial_refunds
        ]
        refunded = intent.requests_refunded
        self._abandon(now, lambda refund: request_of(refund["id"]) in refunded)

    def _abandon(self, now: datetime, which: Callable[[dict[str, Any]], bool]) -> None:
        abandoned = {"state": "abandoned", "abandoned_at": now}
        self.partial_refunds = [
            {**refund, **abandoned} if refund["state"] == "requested" and which(refund) else refund
            for refund in self.partial_refunds
        ]

    def abandon_next_partial_refund(self, intent: PaymentIntent, now: datetime) -> None:
        """Abandon the partial refund that would be made next."""
        abandoned = self.next_partial_refund(intent)
        self._abandon(now, lambda refund: refund is abandoned)
        self.mark_changed(now)

    def mark_refund_failed(self, intent: PaymentIntent, now: datetime) -> None:
        """Record that Stripe could not refund it."""
        self.refund_failed_at, self.failed_refunds = now, intent.failed_refunds

    def count_refused_capture(self, now: datetime) -> None:
        """Count a capture that Stripe refused."""
        self.capture_tries += 1
        self.capture_refused_at = self.capture_refused_at or now
        self.mark_changed(now)

    def mark_changed(self, now: datetime) -> None:
        """Count one change, to be saved."""
        self.version += 1
        self.updated_at = now

    def snapshot(self) -> dict[str, Any]:
        """Return what the buyer and the seller may see."""
        return {
            "id": self.id,
            "version": self.version,
            "order_id": self.id,
            "ticket_id": self.order.get("ticket", {}).get("id"),
            "stripe_id": self.stripe_id,
            "status": self.status,
            "final": self.status == "cancelled",
            "is_confirming": self.confirming_at is not None,
            "is_challenged": self.is_challenged,
            "amount_cents": self.amount_cents,
            "currency": self.currency,
            "declines": self.declines,
            "decline_code": self.decline_code,
            "remaining": self.remaining,
            "card_brand": self.card_brand,
            "card_last4": self.card_last4,
            "refunded_cents": self.refunded_cents,
            "refunding_cents": self.refunding_cents,
            "refunded_at": self.refunded_at,
            "has_refund_failed": self.has_refund_failed,
            "has_full_refund_failed": self.has_refund_failed and self.is_all_wanted_back,
            "dispute": self.dispute,
            "captured_at": self.captured_at,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


def _check_over(refund: dict[str, Any], now: datetime) -> None:
    """Raise RefundUnderWay while Stripe may still make a partial refund that was abandoned."""
    if refund["state"] == "abandoned" and now - refund["abandoned_at"] < UNDER_WAY_PERIOD:
        after = refund["abandoned_at"] + UNDER_WAY_PERIOD
        message = f"Stripe may still make this refund, which was abandoned. Ask again after {after:%Y-%m-%d %H:%M} UTC."
        raise RefundUnderWay(message, after=after.isoformat())


def already_refunded(refund: dict[str, Any]) -> AlreadyRefunded:
    """Return the error for an operator who requests a refund after somebody else did."""
    by, at, reason = refund["by"], refund["at"], refund["reason"]
    message = f"{by} asked for this refund at {at:%Y-%m-%d %H:%M} UTC: {reason}. There is no second one."
    return AlreadyRefunded(message, by=by, at=at.isoformat(), reason=reason)
