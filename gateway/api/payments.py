"""Payments: pay an order by card."""

from typing import Any

from flask import Blueprint
from flask_login import login_required

from gateway import checkout, ids
from gateway.bodies import read_body
from gateway.schemas import PaymentAnswer, PaymentBody

bp = Blueprint("api_payments", __name__, url_prefix="/api/payments")


@bp.post("")
@login_required
def create() -> tuple[Any, int]:
    """Pay the user's own order; paying again returns the same payment."""
    body = read_body(PaymentBody())
    return PaymentAnswer().dump(checkout.pay(ids.order(body["order_id"]), body["token"])), 201
