"""Orphans: PaymentIntents that name one of our orders, but will never be its PaymentIntent."""

import logging
from collections.abc import Callable
from datetime import datetime

from payments.card_provider import CardProvider
from payments.domain import Payment
from payments.intent import PaymentIntent
from payments.store import PaymentStore

log = logging.getLogger(__name__)


def is_orphan(payment: Payment, stripe_id: str) -> bool:
    """Whether a PaymentIntent that names a payment's order is an orphan.

    The order has another one, which never changes; or it is cancelled and has none, as Stripe refused to create it,
    and then created it all the same.
    """
    if payment.stripe_id is None:
        return payment.creating_at is None and payment.order["status"] == "cancelled"
    return payment.stripe_id != stripe_id


def owner_of_orphan(store: PaymentStore, intent: PaymentIntent) -> Payment | None:
    """Return the payment of the order that a PaymentIntent names, if it is an orphan; else None."""
    payment = store.find(intent.order_id)
    return payment if payment is not None and is_orphan(payment, intent.id) else None


def end_orphan(
    cards: CardProvider, intent: PaymentIntent, owner: Payment, alarm: Callable[[str, str], None], now: datetime
) -> bool:
    """Cancel an orphan, or refund it with an alarm if it was captured; return False if it has ended already.

    Each try has an idempotency key of its own, as Stripe may replay its failure for an earlier one. Raises
    StripeUnavailable.
    """
    number = int(now.timestamp())
    what = f"{intent.id} is for order {owner.id}, which has {owner.stripe_id or 'none'}"
    if intent.is_refundable:
        alarm("captured_orphan", f"{what}; it was captured, and is refunded")
        cards.refund(intent.id, number)
    elif intent.status not in ("succeeded", "canceled"):
        log.warning("%s; it is %s, and is cancelled", what, intent.status)
        cards.cancel(intent.id, number)
    else:
        return False
    return True
