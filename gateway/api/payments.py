"""Payments: pay an order by card, here or in Stripe's card form in the browser."""

from typing import Any

from flask import Blueprint
from flask_login import login_required

from gateway import checkout, ids
from gateway.bodies import read_body
from gateway.schemas import PaymentBody, PaymentIntentResponse, PaymentResponse

RESPONSE, INTENT, BODY = PaymentResponse(), PaymentIntentResponse(), PaymentBody()

bp = Blueprint("api_payments", __name__, url_prefix="/api")


@bp.post("/payments")
@login_required
def create() -> tuple[Any, int]:
    """Pay the user's own order; paying again returns the same payment."""
    body = read_body(BODY)
    return RESPONSE.dump(checkout.pay(ids.order(body["order_id"]), body["token"])), 201


@bp.post("/orders/<order_id>/payment-intent")
@login_required
def create_intent(order_id: str) -> Any:
    """Return what the card form needs to pay the user's own order in the browser; repeating returns the same."""
    return INTENT.dump(checkout.create_intent(ids.order(order_id)))
