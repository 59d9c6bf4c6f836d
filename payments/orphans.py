"""Orphans: PaymentIntents that name one of our orders, while the order has another one."""

import logging
from collections.abc import Callable

from payments.card_provider import CardProvider
from payments.domain import Payment
from payments.intent import PaymentIntent
from payments.store import PaymentStore

log = logging.getLogger(__name__)


def owner_of_orphan(store: PaymentStore, intent: PaymentIntent) -> Payment | None:
    """Return the payment of the order that a PaymentIntent names, if it is an orphan; else None.

    An order never changes its PaymentIntent, so it is never too late to end an orphan.
    """
    payment = store.find(intent.order_id)
    return payment if payment is not None and payment.stripe_id not in (None, intent.id) else None


def end_orphan(cards: CardProvider, intent: PaymentIntent, owner: Payment, alarm: Callable[[str, str], None]) -> bool:
    """Cancel an orphan, or refund it with an alarm if it was captured; return False if it has ended already.

    Raises StripeUnavailable.
    """
    what = f"{intent.id} is for order {owner.id}, whose is {owner.stripe_id}"
    if intent.is_refundable:
        alarm("captured_orphan", f"{what}; it was captured, and is refunded")
        cards.refund(intent.id)
    elif intent.status not in ("succeeded", "canceled"):
        log.warning("%s; it is %s, and is cancelled", what, intent.status)
        cards.cancel(intent.id)
    else:
        return False
    return True
