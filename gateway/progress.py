"""How far an order is, as its buyer is told: from the order and its payment to the stage that the page shows."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.checkout import ask_stripe
from gateway.services import call_as_user
from libs.rpc import RemoteError, ServiceUnavailable

NOT_BEGUN = ("PaymentNotFound", "OrderNotFound")


@dataclass(frozen=True)
class Progress:
    """An order, its payment if one was begun, and what to assume (`unknown`) when nobody could tell about it."""

    order: dict[str, Any]
    payment: dict[str, Any] | None
    unknown: str = ""

    @property
    def stage(self) -> str:
        """What the buyer can do: "pay", or only read: "confirming", "complete", "cancelled", "overdue" or "away"."""
        payment, status = self.payment or {}, self.order["status"]
        if status in ("complete", "cancelled"):
            return str(status)
        if payment.get("status") in ("cancelled", "refunded"):
            return "cancelled"  # for good: orders is about to hear of it
        if status == "awaiting_payment" or payment.get("is_confirming"):
            return "confirming"
        if payment.get("status") in ("authorized", "captured"):
            return "confirming"
        if self.unknown:
            return self.unknown
        return "pay" if datetime.fromisoformat(self.order["expires_at"]) > datetime.now(UTC) else "overdue"

    @property
    def declines(self) -> int:
        """How many cards were declined for this order."""
        return int(self.payment["declines"]) if self.payment else 0

    @property
    def problem(self) -> str:
        """Why the newest card was declined, in payments' words, and how often the buyer may try again; or ""."""
        payment = self.payment or {}
        if not payment.get("decline_message"):
            return ""
        left = payment["remaining"]
        tries = f"You have {left} {'try' if left == 1 else 'tries'} left."
        return f"{payment['decline_message']} You were not charged. {tries}"

    def tells(self, decline_code: str | None) -> bool:
        """Whether `problem` is about a decline with this code; one that was not counted it does not tell."""
        return bool(self.problem) and (self.payment or {}).get("decline_code") == decline_code

    @property
    def paid_at(self) -> str | None:
        """When the money was taken; a refund or dispute later does not change it."""
        if not self.payment:
            return None
        touched = self.payment.get("refunded_cents") or self.payment.get("dispute")
        untouched = self.payment["status"] == "captured" and not touched
        return self.payment.get("captured_at") or (self.payment["updated_at"] if untouched else None)


def look(order_id: str) -> Progress:
    """Return how far one's own order is, as far as we know; readable too while payments is away."""
    order = call_as_user("orders.get", order_id=order_id)
    try:
        return Progress(order, call_as_user("payments.get", order_id=order_id))
    except ServiceUnavailable:
        return Progress(order, None, unknown="away")
    except RemoteError as error:
        if error.name in NOT_BEGUN:
            return Progress(order, None)
        raise


def look_at_stripe(order_id: str, answered: int | None = None) -> Progress:
    """Return how far one's own order is, after asking Stripe; nothing is said to have failed while it is unknown."""
    try:
        payment = ask_stripe(order_id, answered)
    except RemoteError as error:
        if error.name in NOT_BEGUN:
            return look(order_id)
        raise
    return Progress(call_as_user("orders.get", order_id=order_id), payment, "" if payment else "confirming")
