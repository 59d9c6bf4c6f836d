"""The rules of money. Pure: what Stripe says and what orders says go in, what to do next comes out.

`decide` is the whole protocol of one payment; whoever calls it re-reads the PaymentIntent first, does the one step it
returns, and calls it again. No webhook, reply or event decides anything by itself.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

MAXIMUM_DECLINES = 3
CAPTURE_TRIES, CAPTURE_PERIOD = 10, timedelta(minutes=10)
CONFIRM_PERIOD = timedelta(seconds=90)
"""How long a request to charge a card may still be on its way, or at work at Stripe, after it was sent."""
DISPUTES_ENDED_WELL = ("won", "warning_closed", "prevented")
"""The ends of a dispute after which the money is ours (https://docs.stripe.com/api/disputes/object)."""


class DomainError(Exception):
    """What the caller asked for is against a rule; the message is a sentence for the user."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class OrderNotFound(DomainError):
    """There is no such order."""


class PaymentNotFound(DomainError):
    """Nobody has begun to pay this order."""


class NotOwner(DomainError):
    """The order is somebody else's."""


class OrderCancelled(DomainError):
    """The order was cancelled or has expired; nothing was charged."""


class PaymentDeclined(DomainError):
    """The card was declined; details say decline_code and how many tries remain."""


class AuthenticationRequired(DomainError):
    """The bank wants to ask the buyer (3-D Secure); details say client_secret."""


class PaymentInProgress(DomainError):
    """It is not known yet what came of another card that was tried for this order."""


class InvalidCard(DomainError):
    """The token is not one of a card."""


class InvalidSignature(DomainError):
    """The webhook is not one that Stripe signed for these keys."""


class NotCaptured(DomainError):
    """Nothing was taken for this order, so there is nothing to refund."""


class ChargeDisputed(DomainError):
    """The cardholder's bank has taken the money back, or is about to; Stripe refuses a refund then."""


class ReasonMissing(DomainError):
    """A refund needs a reason, of 500 characters at most."""


class NameMissing(DomainError):
    """A refund needs the name of who asks for it, of 100 characters at most."""


class StripeUnavailable(Exception):
    """Stripe did not answer, or answered with an error of its own; what was asked may or may not have happened."""

    error_name = "StripeUnavailable"
    """What callers by RPC are told, whichever kind of it it is."""


@dataclass(frozen=True)
class Intent:
    """A PaymentIntent as Stripe says it is now. `declines` is None where it was not counted.

    `refunding_cents` are on their way back, and may still fail; `failed_refunds` counts those that did. `tried` is the
    PaymentMethod that was tried last, "" before the first.
    """

    id: str
    status: str
    client_secret: str
    amount_cents: int
    currency: str
    order_id: str | None = None
    declines: int | None = None
    decline_code: str | None = None
    refunded_cents: int = 0
    refunding_cents: int = 0
    failed_refunds: int = 0
    card_brand: str | None = None
    card_last4: str | None = None
    captured_cents: int | None = None
    dispute: dict[str, Any] | None = None
    tried: str = ""

    @property
    def taken_cents(self) -> int:
        """What was taken, whether or not it was refunded since."""
        if self.status != "succeeded":
            return 0
        return self.amount_cents if self.captured_cents is None else self.captured_cents

    @property
    def kept_cents(self) -> int:
        """What was taken and has not been refunded yet."""
        return self.taken_cents - self.refunded_cents

    @property
    def is_refundable(self) -> bool:
        """Whether money is left to refund, and Stripe lets us: not when the cardholder's bank has taken it back."""
        return self.kept_cents > self.refunding_cents and not _forbids_refund(self.dispute)


@dataclass
class Payment:
    """The money of one order; its id is the order's. `order` is our copy of the order.

    `creating_at` is set from before the PaymentIntent is asked for until its id is stored, `confirming_at` from before
    the card is charged until it is known what came of it: so a crash in between leaves a trace. `attempts` numbers the
    cards that were tried; `tried_before` is what had been tried before the newest, None if that cannot be told.
    `refund` says who asked for a refund, when and why, `earlier_refunds` the same of those that failed before, oldest
    first. `dispute` is the newest one, or an inquiry, as {"id", "status", "reason", "amount_cents", "is_refundable"}.
    `key_no` numbers what has to be asked anew because Stripe failed, and would repeat its failure to the same
    idempotency key. `refund_failed_at`: when a refund came to nothing; no other is made until an operator asks for
    one. `failed_refunds` counts those that are known.
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
    refunding_cents: int = 0
    failed_refunds: int = 0
    refunded_at: datetime | None = None
    tried_before: str | None = None
    is_challenged: bool = False
    earlier_refunds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def attempt(self) -> str:
        """The name of the try to charge a card that is under way, from which its idempotency keys are made."""
        return f"{self.id}:{self.attempts}" + (f":{self.key_no}" if self.key_no else "")

    @property
    def remaining(self) -> int:
        """How many more cards may be tried."""
        return max(0, MAXIMUM_DECLINES - self.declines) if self.status == "open" else 0

    @property
    def is_lost(self) -> bool:
        """Whether the cardholder's bank has taken the money back for good."""
        return self.dispute is not None and self.dispute["status"] == "lost"

    @property
    def has_work_left(self) -> bool:
        """Whether Stripe and the order have still to be brought together."""
        if self.stripe_id is None:
            return self.creating_at is not None
        if self.refund_failed_at is not None:
            return False
        if self.status == "captured":
            is_going_back = self.refund is not None or self.refunding_cents > 0
            return (self.order["status"] != "complete" or is_going_back) and not self.is_lost
        return self.status not in ("cancelled", "refunded")

    @property
    def is_over(self) -> bool:
        """Whether nothing was taken and nothing will be, or all was given back."""
        return self.status in ("cancelled", "refunded")

    def check_payable(self, buyer_id: str) -> None:
        """Raise what forbids this buyer to pay. The deadline is judged by orders, never here."""
        self.check_owner(buyer_id)
        if self.order["status"] == "cancelled" or (self.is_over and self.order["status"] != "complete"):
            raise self.order_cancelled()

    def order_cancelled(self) -> OrderCancelled:
        """Return what to tell the buyer of an order that was cancelled."""
        charged = self.stripe_id is not None and self.status != "cancelled"
        end = "if anything was taken for it, you get it back." if charged else "you have not been charged."
        return OrderCancelled(f"This order was cancelled; {end}")

    def check_owner(self, buyer_id: str) -> None:
        """Raise NotOwner unless the order is this buyer's."""
        if self.order["buyer_id"] != buyer_id:
            raise NotOwner("This order is not yours.")

    def begin_attempt(self, now: datetime, tried: str | None = None) -> None:
        """Mark that a card is about to be charged; until it is known what came of the last, it is still that one.

        `tried`: what Stripe says was tried last until now. Two on their way at once cannot be told apart by it.
        """
        self.tried_before = tried if self.confirming_at is None else None
        if self.confirming_at is None:
            self.attempts += 1
        self.confirming_at = now
        self.saved(now)

    def is_paid_by(self, intent: Intent) -> bool:
        """Whether exactly what the order costs was taken; nothing else completes it."""
        is_exact = (intent.taken_cents, intent.currency) == (self.amount_cents, self.currency)
        return is_exact or self.order["status"] == "complete"

    def check_refundable(self) -> None:
        """Raise what forbids an operator to refund it."""
        if self.status != "captured" and self.refund_failed_at is None:
            raise NotCaptured("Nothing was taken for this order, so there is nothing to refund.")
        if self.dispute is not None and _forbids_refund(self.dispute):
            raise ChargeDisputed(f"The charge is disputed ({self.dispute['status']}): answer the dispute at Stripe.")

    def ask_refund(self, who: str, reason: str, now: datetime) -> None:
        """Note that an operator wants it refunded, and keep who asked before."""
        if self.refund is not None:
            self.earlier_refunds = [*self.earlier_refunds, self.refund]
        self.refund = {"by": who, "reason": reason, "at": now}
        if self.refund_failed_at is not None:
            self.refund_failed_at, self.key_no = None, self.key_no + 1
        self.saved(now)

    def refund_failed(self, intent: Intent, now: datetime) -> None:
        """Note that Stripe could not give the money back."""
        self.refund_failed_at, self.failed_refunds = now, intent.failed_refunds
        self.saved(now)

    def record(self, intent: Intent, now: datetime, answered: int | None = None) -> str | None:
        """Take over what Stripe says; return the event of the change, "" for one without, None when nothing changed.

        `answered`: the attempt that Stripe is known to have answered.
        """
        before, event = self.snapshot(), ""
        if intent.declines is not None and intent.declines > self.declines:
            self.declines, self.decline_code, event = intent.declines, intent.decline_code, "PaymentFailed"
            answered = self.attempts
        if self._is_settled_by(intent, answered, now):
            self.confirming_at = None
        self.is_challenged = intent.status == "requires_action"
        if self._take_back(intent, now):
            event = "PaymentRefunded"
        status = recorded_status(intent, self.is_paid_by(intent))
        if status != self.status:
            if status == "captured":
                self.captured_at = self.captured_at or now
            self.status, self.card_brand, self.card_last4 = status, intent.card_brand, intent.card_last4
            event = EVENT_OF_STATUS[status]
        if self.snapshot() == before:
            return None
        self.saved(now)
        return event

    def _is_settled_by(self, intent: Intent, answered: int | None, now: datetime) -> bool:
        """Whether it is known what came of the card that was tried."""
        if self.confirming_at is None or intent.status == "processing":
            return False
        ended = intent.status in ("requires_capture", "succeeded", "canceled") or answered == self.attempts
        return ended or self._was_answered(intent) or now - self.confirming_at >= CONFIRM_PERIOD

    def _was_answered(self, intent: Intent) -> bool:
        """Whether Stripe itself shows that it has had the card that was tried, and did not take it (yet)."""
        asks = intent.status in ("requires_action", "requires_payment_method")
        return asks and self.tried_before is not None and intent.tried not in ("", self.tried_before)

    def _take_back(self, intent: Intent, now: datetime) -> bool:
        """Take over refunds and disputes; return whether more money than before went back."""
        lost_before, refunded_before = self.is_lost, self.refunded_cents
        self.refunded_cents, self.refunding_cents = intent.refunded_cents, intent.refunding_cents
        self.dispute = intent.dispute or self.dispute
        if self.refunded_cents > refunded_before:
            self.refunded_at = now
        return self.refunded_cents > refunded_before or (self.is_lost and not lost_before)

    def capture_was_refused(self, now: datetime) -> None:
        """Count a capture that Stripe refused."""
        self.capture_tries += 1
        self.capture_refused_at = self.capture_refused_at or now
        self.saved(now)

    def saved(self, now: datetime) -> None:
        """Count one saved change."""
        self.version += 1
        self.updated_at = now

    def snapshot(self) -> dict[str, Any]:
        """Return what the buyer and the seller may see."""
        return {
            "id": self.id,
            "version": self.version,
            "order_id": self.id,
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
            "has_refund_failed": self.refund_failed_at is not None and self.status != "refunded",
            "dispute": self.dispute,
            "captured_at": self.captured_at,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }


EVENT_OF_STATUS = {
    "open": "",
    "authorized": "PaymentAuthorized",
    "captured": "PaymentCreated",
    "cancelled": "PaymentFailed",
    "refunded": "PaymentRefunded",
}


class Step(Enum):
    """What to do next about a payment."""

    REST = "nothing more can be done now"
    FIND = "find or create the PaymentIntent that was being created"
    CANCEL = "cancel the PaymentIntent, which voids an authorization"
    CAPTURE = "capture the authorized amount"
    REFUND = "refund what was captured"
    GIVE_UP_REFUND = "leave a refund that failed to an operator"
    RECORD = "write down what Stripe says"


def decide(payment: Payment, intent: Intent | None, now: datetime) -> Step:
    """Return the next step for a payment, given its PaymentIntent as Stripe says it is now (None: none is known)."""
    if intent is None:
        return Step.FIND if payment.creating_at is not None else Step.REST
    if intent.status in ("succeeded", "canceled"):
        return _of_ended(payment, intent)
    if intent.status == "processing":
        return Step.REST
    if payment.order["status"] == "cancelled" or not agree(payment, intent):
        return Step.CANCEL
    if intent.status == "requires_capture":
        return _of_authorized(payment, now)
    return Step.CANCEL if (intent.declines or 0) >= MAXIMUM_DECLINES else Step.RECORD


def agree(payment: Payment, intent: Intent) -> bool:
    """Whether the PaymentIntent is for this order's amount; nothing else is ever captured."""
    about = (intent.amount_cents, intent.currency, intent.order_id or payment.id)
    return about == (payment.amount_cents, payment.currency, payment.id)


def recorded_status(intent: Intent, is_whole: bool | None = None) -> str:
    """Return our word for a PaymentIntent's state.

    `is_whole`: whether what was taken is all that it should be, by default the PaymentIntent's own amount. If it is
    not, the payment stays authorized until it has been given back, and then is as if nothing had been taken.
    """
    if intent.status == "succeeded":
        if is_whole or (is_whole is None and intent.taken_cents == intent.amount_cents):
            return "captured" if intent.kept_cents > 0 else "refunded"
        return "authorized" if intent.kept_cents > 0 else "cancelled"
    return {"requires_capture": "authorized", "canceled": "cancelled"}.get(intent.status, "open")


def opened(order: dict[str, Any], now: datetime) -> Payment:
    """Return the payment of an order that nobody has begun to pay."""
    return Payment(
        id=order["id"], version=1, status="open", order=order, stripe_id=None, creating_at=None, confirming_at=None,
        amount_cents=order["price_cents"], currency=order["currency"], declines=0, decline_code=None, capture_tries=0,
        capture_refused_at=None, card_brand=None, card_last4=None, created_at=now, updated_at=now,
    )  # fmt: skip


def _of_ended(payment: Payment, intent: Intent) -> Step:
    if intent.failed_refunds > payment.failed_refunds:
        return Step.GIVE_UP_REFUND
    is_over = payment.order["status"] == "cancelled" or payment.refund is not None
    unwanted = is_over or not payment.is_paid_by(intent)
    return Step.REFUND if unwanted and intent.is_refundable and not payment.refund_failed_at else Step.RECORD


def _forbids_refund(dispute: dict[str, Any] | None) -> bool:
    return dispute is not None and not dispute.get("is_refundable", False)


def _of_authorized(payment: Payment, now: datetime) -> Step:
    if payment.order["status"] == "created":
        return Step.RECORD
    refused_for = now - payment.capture_refused_at if payment.capture_refused_at else timedelta(0)
    if payment.capture_tries >= CAPTURE_TRIES or refused_for >= CAPTURE_PERIOD:
        return Step.CANCEL
    return Step.CAPTURE
