"""The events that we subscribe to at Stripe (docs/stripe.md)."""

SUBSCRIBED_TYPES = frozenset(
    {
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "payment_intent.payment_failed",
        "payment_intent.canceled",
        "charge.refunded",
        "charge.dispute.created",
        "charge.dispute.closed",
        "charge.dispute.updated",
        "refund.updated",
        "refund.failed",
    }
)
"""The event types to which the endpoint subscribes; others are acknowledged and counted."""
