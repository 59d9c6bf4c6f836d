"""A hook for tests: ends the process at a named point, as a crash there would. Without the setting it does nothing.

PAYMENTS_CRASH_AT=<name> names the point, e.g. `captured`.
"""

import os
from enum import StrEnum


class CrashPoint(StrEnum):
    """What the process has just done when it dies."""

    OPENED = "opened"
    """Opened the payment; the order is not copied."""
    CREATION_MARKED = "creation_marked"
    """Stored that a PaymentIntent is about to be created."""
    INTENT_CREATED = "intent_created"
    """Created it at Stripe; its id is not stored."""
    INTENT_STORED = "intent_stored"
    """Stored its id."""
    ATTEMPT_MARKED = "attempt_marked"
    """Stored that a card is about to be charged."""
    CONFIRMED = "confirmed"
    """Charged it at Stripe; the outcome is not stored."""
    RECORDED = "recorded"
    """Stored the outcome from Stripe."""
    CAPTURED = "captured"
    """Captured at Stripe; not stored."""
    CANCELLED = "cancelled"
    """Cancelled at Stripe; not stored."""
    REFUNDED = "refunded"
    """Refunded at Stripe; not stored."""
    REFUND_REQUESTED = "refund_requested"
    """Stored that an operator wants a refund."""
    WEBHOOK_STORED = "webhook_stored"
    """Stored a webhook; not settled."""
    COPY_STORED = "copy_stored"
    """Stored the copy of an order; not settled."""


def crash_point(point: CrashPoint) -> None:
    """End the process at once, without any clean-up, if the setting names this point."""
    if os.environ.get("PAYMENTS_CRASH_AT") == point:
        os._exit(137)
