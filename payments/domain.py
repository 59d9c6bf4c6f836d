"""The rules of money. Pure: what Stripe says and what orders says go in, what to do next comes out.

`decide` is the whole protocol of one payment; whoever calls it re-reads the PaymentIntent first, does the one step it
returns, and calls it again. No webhook, reply or event decides anything by itself.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

MAXIMUM_DECLINES = 3
CAPTURE_TRIES, CAPTURE_PERIOD = 10, timedelta(minutes=10)


class Refused(Exception):
    """What the caller asked for is against a rule; the message is a sentence for the user."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class OrderNotFound(Refused):
    """There is no such order."""


class PaymentNotFound(Refused):
    """Nobody has begun to pay this order."""


class NotOwner(Refused):
    """The order is somebody else's."""


class OrderCancelled(Refused):
    """The order was cancelled or has expired; nothing was charged."""


class PaymentDeclined(Refused):
    """The card was declined; details say decline_code and how many tries remain."""


class AuthenticationRequired(Refused):
    """The bank wants to ask the buyer (3-D Secure); details say client_secret."""


class InvalidCard(Refused):
    """The token is not one of a card."""


class InvalidSignature(Refused):
    """The webhook was not signed by Stripe."""


class StripeUnavailable(Exception):
    """Stripe did not answer, or answered with an error of its own; what was asked may or may not have happened."""


@dataclass(frozen=True)
class Intent:
    """A PaymentIntent as Stripe says it is now. `declines` is None where it was not counted."""

    id: str
    status: str
    client_secret: str
    amount_cents: int
    currency: str
    order_id: str | None = None
    declines: int | None = None
    decline_code: str | None = None
    refunded_cents: int = 0
    card_brand: str | None = None
    card_last4: str | None = None


@dataclass
class Payment:
    """The money of one order; its id is the order's. `order` is our copy of the order.

    `creating_at` is set from before the PaymentIntent is asked for until its id is stored, `confirming_at` from before
    the card is charged until Stripe has been asked what came of it: so a crash in between leaves a trace.
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

    @property
    def has_work_left(self) -> bool:
        """Whether Stripe and the order have still to be brought together."""
        if self.stripe_id is None:
            return self.creating_at is not None
        if self.status == "captured":
            return bool(self.order["status"] != "complete")
        return self.status not in ("cancelled", "refunded")

    def check_payable(self, buyer_id: str) -> None:
        """Raise what forbids this buyer to pay. The deadline is judged by orders, never here."""
        self.check_owner(buyer_id)
        if self.order["status"] == "cancelled" or self.status in ("cancelled", "refunded"):
            raise OrderCancelled("This order was cancelled; you have not been charged.")

    def check_owner(self, buyer_id: str) -> None:
        """Raise NotOwner unless the order is this buyer's."""
        if self.order["buyer_id"] != buyer_id:
            raise NotOwner("This order is not yours.")

    def record(self, intent: Intent, now: datetime) -> str | None:
        """Take over what Stripe says; return the event of the change, "" for one without, None when nothing changed."""
        declined = intent.declines is not None and intent.declines > self.declines
        if declined:
            self.declines, self.decline_code = intent.declines or 0, intent.decline_code
        status = recorded_status(intent)
        moved, settled = status != self.status, self.confirming_at is not None and intent.status != "processing"
        if settled:
            self.confirming_at = None
        if moved:
            self.status, self.card_brand, self.card_last4 = status, intent.card_brand, intent.card_last4
        if not (moved or declined or settled):
            return None
        self.saved(now)
        return EVENT_OF_STATUS[status] if moved else "PaymentFailed" if declined else ""

    def capture_was_refused(self, now: datetime) -> None:
        """Count a capture that Stripe refused."""
        self.capture_tries += 1
        self.capture_refused_at = self.capture_refused_at or now
        self.saved(now)

    def saved(self, now: datetime) -> None:
        """Count one saved change."""
        self.version += 1
        self.updated_at = now

    def public(self) -> dict[str, Any]:
        """Return the snapshot that its parties may see, as JSON values."""
        return {
            "id": self.id,
            "version": self.version,
            "order_id": self.id,
            "stripe_id": self.stripe_id,
            "status": self.status,
            "final": self.status == "cancelled",
            "is_confirming": self.confirming_at is not None,
            "amount_cents": self.amount_cents,
            "currency": self.currency,
            "declines": self.declines,
            "decline_code": self.decline_code,
            "card_brand": self.card_brand,
            "card_last4": self.card_last4,
            "created_at": _iso(self.created_at),
            "updated_at": _iso(self.updated_at),
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
    RECORD = "write down what Stripe says"


def decide(payment: Payment, intent: Intent | None, now: datetime) -> Step:
    """Return the next step for a payment, given its PaymentIntent as Stripe says it is now (None: none is known)."""
    if intent is None:
        return Step.FIND if payment.creating_at is not None else Step.REST
    if intent.status in ("succeeded", "canceled"):
        lost = payment.order["status"] == "cancelled" and intent.status == "succeeded" and not intent.refunded_cents
        return Step.REFUND if lost else Step.RECORD
    if intent.status == "processing":
        return Step.REST
    if payment.order["status"] == "cancelled":
        return Step.CANCEL
    if intent.status == "requires_capture":
        return _of_authorized(payment, now)
    return Step.CANCEL if (intent.declines or 0) >= MAXIMUM_DECLINES else Step.RECORD


def recorded_status(intent: Intent) -> str:
    """Return our word for a PaymentIntent's state."""
    if intent.status == "succeeded":
        return "refunded" if intent.refunded_cents >= intent.amount_cents else "captured"
    return {"requires_capture": "authorized", "canceled": "cancelled"}.get(intent.status, "open")


def opened(order: dict[str, Any], now: datetime) -> Payment:
    """Return the payment of an order that nobody has begun to pay."""
    return Payment(
        id=order["id"], version=1, status="open", order=order, stripe_id=None, creating_at=None, confirming_at=None,
        amount_cents=order["price_cents"], currency=order["currency"], declines=0, decline_code=None, capture_tries=0,
        capture_refused_at=None, card_brand=None, card_last4=None, created_at=now, updated_at=now,
    )  # fmt: skip


def declined(payment: Payment) -> PaymentDeclined:
    """Return what to tell a buyer whose card was declined."""
    remaining = max(0, MAXIMUM_DECLINES - payment.declines) if payment.status == "open" else 0
    message = DECLINES.get(payment.decline_code or "", "Your card was declined. Try another card.")
    return PaymentDeclined(message, decline_code=payment.decline_code, remaining=remaining)


DECLINES = {
    "insufficient_funds": "Your card has insufficient funds. Try another card.",
    "expired_card": "Your card has expired. Try another card.",
    "incorrect_cvc": "Your card's security code is incorrect. Check it, or try another card.",
    "processing_error": "Your bank could not process the card just now. Try again in a moment.",
    "authentication_required": "Your bank wants you to confirm the payment. Try again and follow its instructions.",
}
"""What a buyer can do about a decline, by Stripe's code (https://docs.stripe.com/declines/codes)."""


def _of_authorized(payment: Payment, now: datetime) -> Step:
    if payment.order["status"] == "created":
        return Step.RECORD
    refused_for = now - payment.capture_refused_at if payment.capture_refused_at else timedelta(0)
    if payment.capture_tries >= CAPTURE_TRIES or refused_for >= CAPTURE_PERIOD:
        return Step.CANCEL
    return Step.CAPTURE


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
