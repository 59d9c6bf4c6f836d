"""Stripe's webhook, passed on to payments unchanged."""

from typing import Any

from flask import Blueprint, request

from gateway.errors import GatewayError
from gateway.services import call_as_gateway

bp = Blueprint("api_webhooks", __name__, url_prefix="/api/webhooks")


@bp.post("/stripe")
def receive() -> Any:
    """Answer 200 once payments has verified and stored the event; after anything else Stripe retries."""
    try:
        payload = request.get_data().decode()
    except UnicodeDecodeError as error:
        raise GatewayError("NotUtf8") from error
    call_as_gateway("payments.receive_webhook", payload=payload, signature=request.headers.get("Stripe-Signature", ""))
    return {}
