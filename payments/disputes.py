"""The consequences of a dispute for the money of a charge.

A dispute is {"id", "status", "reason", "amount_cents", "is_refundable", "lost_cents"}, or None if there is none. It is
the newest about its charge; `lost_cents` is the sum of all that were lost.
"""

from typing import Any

ENDED_WELL = ("won", "warning_closed", "prevented")
"""The final states of a dispute in which the money is ours (https://docs.stripe.com/api/disputes/object)."""


def is_lost(dispute: dict[str, Any] | None) -> bool:
    """Whether the cardholder's bank has taken the money back for good."""
    return dispute is not None and dispute["status"] == "lost"


def needs_attention(before: dict[str, Any] | None, now: dict[str, Any]) -> bool:
    """Whether a dispute is new, or needs a response only now, such as an inquiry that has become a chargeback."""
    if before is None or before["id"] != now["id"]:
        return True
    return now["status"] == "needs_response" != before["status"]


def is_open(dispute: dict[str, Any] | None) -> bool:
    """Whether it is not decided yet."""
    return dispute is not None and dispute["status"] not in (*ENDED_WELL, "lost")


def lost_cents(dispute: dict[str, Any] | None) -> int:
    """Return how much the cardholder's bank has taken back for good."""
    if dispute is None:
        return 0
    # earlier versions stored no sum
    return int(dispute.get("lost_cents", dispute["amount_cents"] if is_lost(dispute) else 0))


def forbids_refund(dispute: dict[str, Any] | None) -> bool:
    """Whether Stripe would refuse to refund the charge."""
    return dispute is not None and not dispute.get("is_refundable", False)


def refusal(dispute: dict[str, Any]) -> str:
    """Return why a charge with such a dispute cannot be refunded."""
    advice = ": answer it at Stripe" if dispute["status"] == "needs_response" else ", so Stripe refuses a refund"
    return f"The charge has a dispute ({dispute['status']}){advice}."
