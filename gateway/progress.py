"""The stage of an order that its page shows to the buyer, from the order and its payment."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.checkout import refresh_payment
from gateway.languages import gettext, ngettext
from gateway.sentences import translated
from gateway.services import call_as_user
from libs.contracts.limits import EXTENDED_WITHIN_SECONDS
from libs.rpc import RemoteError, ServiceUnavailable

EXTENDED_WITHIN = timedelta(seconds=EXTENDED_WITHIN_SECONDS)
NOT_STARTED = ("PaymentNotFound", "OrderNotFound")


@dataclass(frozen=True)
class Progress:
    """An order, its payment if there is one, and the stage to assume (`unknown`) when payments did not answer."""

    order: dict[str, Any]
    payment: dict[str, Any] | None
    unknown: str = ""

    @property
    def stage(self) -> str:
        """What the page shows: "pay" or a message: "confirming", "complete", "cancelled", "overdue", "unavailable"."""
        payment, status = self.payment or {}, self.order["status"]
        if status in ("complete", "cancelled"):
            return str(status)
        if payment.get("status") in ("cancelled", "refunded"):
            return "cancelled"  # final: orders is about to receive the event
        if status == "awaiting_payment" or payment.get("is_confirming"):
            return "confirming"
        if payment.get("status") in ("authorized", "captured"):
            return "confirming"
        if self.unknown:
            return self.unknown
        return "pay" if datetime.fromisoformat(self.order["expires_at"]) > datetime.now(UTC) else "overdue"

    @property
    def is_extendable_now(self) -> bool:
        """Whether the buyer may extend the time to pay at this moment."""
        left = datetime.fromisoformat(self.order["expires_at"]) - datetime.now(UTC)
        return self.order.get("is_extendable", False) and timedelta() < left <= EXTENDED_WITHIN

    @property
    def declines(self) -> int:
        """How many cards were declined for this order."""
        return int(self.payment["declines"]) if self.payment else 0

    @property
    def problem(self) -> str:
        """Why the last card was declined, as payments words it, and how many tries are left; or ""."""
        payment = self.payment or {}
        if not payment.get("decline_message"):
            return ""
        left = payment["remaining"]
        tries = ngettext("You have %(num)s try left.", "You have %(num)s tries left.", left)
        return f"{translated(payment['decline_message'])} {gettext('You were not charged.')} {tries}"

    def mentions(self, decline_code: str | None) -> bool:
        """Whether `problem` is about a decline with this code; it is not about declines that were not counted."""
        return bool(self.problem) and (self.payment or {}).get("decline_code") == decline_code

    @property
    def paid_at(self) -> str | None:
        """When the money was captured; a later refund or dispute does not change it."""
        if not self.payment:
            return None
        changed = self.payment.get("refunded_cents") or self.payment.get("dispute")
        unchanged = self.payment["status"] == "captured" and not changed
        return self.payment.get("captured_at") or (self.payment["updated_at"] if unchanged else None)


def get_progress(order_id: str) -> Progress:
    """Return the progress of the user's own order as last known, even while payments does not answer."""
    order = call_as_user("orders.get", order_id=order_id)
    try:
        return Progress(order, call_as_user("payments.get", order_id=order_id))
    except ServiceUnavailable:
        return Progress(order, None, unknown="unavailable")
    except RemoteError as error:
        if error.name in NOT_STARTED:
            return Progress(order, None)
        raise


def refresh_from_stripe(order_id: str, answered: int | None = None) -> Progress:
    """Return the progress of the user's own order, refreshed from Stripe; "confirming" while the outcome is unknown.

    It is also "confirming" for users who cause too many requests to Stripe.
    """
    try:
        payment = refresh_payment(order_id, answered)
    except RemoteError as error:
        if error.name == "TooManyAttempts":
            return replace(get_progress(order_id), unknown="confirming")
        if error.name in NOT_STARTED:
            return get_progress(order_id)
        raise
    return Progress(call_as_user("orders.get", order_id=order_id), payment, "" if payment else "confirming")
