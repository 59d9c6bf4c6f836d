"""Stripe's webhook: handed to payments as it came."""

from typing import Any

from flask import Blueprint, request

from gateway.errors import GatewayError
from gateway.services import call_as_gateway

bp = Blueprint("api_webhooks", __name__, url_prefix="/api/webhooks")


@bp.post("/stripe")
def receive() -> Any:
    """Answer 200 once payments has verified and stored the event; Stripe repeats it after anything else."""
    try:
        payload = request.get_data().decode()
    except UnicodeDecodeError as error:
        raise GatewayError("InvalidSignature") from error
    call_as_gateway("payments.receive_webhook", payload=payload, signature=request.headers.get("Stripe-Signature", ""))
    return {}
