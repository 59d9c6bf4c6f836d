"""A PaymentIntent as Stripe shows it when it is new, and the parameters that shape it."""

from typing import Any

from dev.fake_stripe.errors import invalid, not_emulated
from dev.fake_stripe.objects import merge_metadata, new_id, now
from dev.fake_stripe.state import Document

KEPT = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "payment_method_options",
    "transfer_group",
)
EMULATED = {
    *KEPT,
    "allowed_payment_method_types",
    "amount",
    "automatic_payment_methods",
    "capture_method",
    "client_secret",
    "confirm",
    "confirmation_method",
    "currency",
    "error_on_requires_action",
    "excluded_payment_method_types",
    "expand",
    "metadata",
    "off_session",
    "payment_method",
    "payment_method_data",
    "radar_options",
    "return_url",
    "use_stripe_sdk",
}


def refuse_unemulated(params: dict[str, Any]) -> None:
    """Refuse a parameter that Stripe takes and this stand-in would only ignore."""
    for name in params:
        if name not in EMULATED:
            raise not_emulated(name)
    if params.get("allowed_payment_method_types", ["card"]) != ["card"]:
        raise not_emulated("allowed_payment_method_types")


def new_intent(params: dict[str, Any]) -> Document:
    """Return a PaymentIntent that asks for a payment method, made of the parameters of its creation."""
    id = new_id("pi")
    intent: Document = {
        "id": id,
        "object": "payment_intent",
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": _automatic(params),
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": f"{id}_secret_{new_id('s')[3:]}",
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "created": now(),
        "currency": params["currency"].lower(),
        "customer": None,
        "description": None,
        "excluded_payment_method_types": params.get("excluded_payment_method_types"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {"installments": None, "mandate_options": None, "request_three_d_secure": "automatic"}
        },
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    return intent | {name: params[name] for name in KEPT if params.get(name)}


def _automatic(params: dict[str, Any]) -> Document | None:
    """Stripe chooses the payment methods, as allowed."""
    chosen = params.get("automatic_payment_methods")
    if "allowed_payment_method_types" in params:
        if chosen:
            raise invalid(
                "You may only specify one of these parameters: allowed_payment_method_types, automatic_payment_methods."
            )
        return None
    return {"allow_redirects": "always", **(chosen or {"enabled": True})}
