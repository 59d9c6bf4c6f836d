"""A payment, its order, PaymentIntent and dispute, as tests need them."""

from datetime import UTC, datetime

from payments import domain
from payments.intent import PaymentIntent

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def an_order(status="created"):
    return {"id": "o1", "version": 1, "status": status, "buyer_id": "bo", "price_cents": 1999, "currency": "usd"}


def a_payment(order_status="created", **changes):
    payment = domain.Payment.open(an_order(order_status), NOON)
    for name, value in changes.items():
        setattr(payment, name, value)
    return payment


def an_intent(status, **facts):
    return PaymentIntent("pi_1", status, "secret", 1999, "usd", "o1", **facts)


def a_dispute(status, is_refundable=False):
    details = {"reason": "fraudulent", "amount_cents": 1999, "is_refundable": is_refundable}
    return {"id": "dp_1", "status": status, **details}
