"""PaymentIntents: one payment from its amount to its end, in Stripe's statuses."""

import re
from typing import Any

from dev.fake_stripe import attempts, charges, payment_methods
from dev.fake_stripe.amounts import check_amount
from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import invalid, missing, unexpected_state
from dev.fake_stripe.events import emit
from dev.fake_stripe.intent_shape import KEPT, new_intent, refuse_unemulated
from dev.fake_stripe.objects import list_page, merge_metadata, now, visible
from dev.fake_stripe.state import Document

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
CONFIRMABLE = OPEN
CANCELABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action", "processing")
NEEDS_RETURN_URL = (
    "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these "
    "payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want "
    "to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and "
    "`automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents."
)
NEEDS_METHOD = (
    "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
    "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method "
    "or ConfirmationToken."
)


def create(call: Call) -> Document:
    """Make a PaymentIntent; with `confirm`, try to pay it at once."""
    params = call.params
    refuse_unemulated(params)
    check_amount(params["amount"], params["currency"])
    if "return_url" in params and not params.get("confirm"):
        raise invalid("You cannot use `return_url` unless `confirm` is set to true.", param="return_url")
    intent = new_intent(params)
    method = _method(call, intent, params)
    if method:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    intent["_found_from"] = call.state.now() + float(call.state.setting("search_lag", "0"))
    call.state.add(intent)
    emit(call, "payment_intent.created", intent)
    return _confirmed(call, intent, params) if params.get("confirm") else intent


def _method(call: Call, intent: Document, params: dict[str, Any]) -> Document | None:
    if "payment_method" in params:
        return payment_methods.usable(call, params["payment_method"], intent["id"])
    if "payment_method_data" in params:
        return payment_methods.make(call, params["payment_method_data"], "payment_method_data")
    return None


def get(call: Call, id: str, param: str = "intent") -> Document:
    """Return a PaymentIntent; a publishable key must show its client secret."""
    intent = call.find("payment_intent", id)
    if intent is None:
        raise missing("payment_intent", id, param, in_url=True)
    if call.publishable and call.params.get("client_secret") != intent["client_secret"]:
        raise invalid(
            "The client_secret provided does not match the client_secret associated with this PaymentIntent.",
            param="client_secret",
        )
    return intent


def retrieve(call: Call, id: str) -> Document:
    """Return one PaymentIntent."""
    return get(call, id)


def update(call: Call, id: str) -> Document:
    """Change a PaymentIntent; money and payment method only while it is unpaid."""
    intent, params = get(call, id), call.params
    refuse_unemulated(params)
    for name in {"amount", "currency", "payment_method", "payment_method_data", "capture_method"} & params.keys():
        if intent["status"] not in OPEN:
            raise unexpected_state(
                _forbidden(f"This PaymentIntent's {name} could not be updated", intent, "updated", OPEN),
                visible(intent),
            )
    intent |= {name: params[name] or None for name in (*KEPT, "amount", "currency", "capture_method") if name in params}
    check_amount(intent["amount"], intent["currency"])
    if "metadata" in params:
        intent["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    if method := _method(call, intent, params):
        intent |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    call.state.save(intent)
    return intent


def _forbidden(what: str, intent: Document, verb: str, statuses: tuple[str, ...]) -> str:
    allowed = ", ".join(statuses)
    return (
        f"{what} because it has a status of {intent['status']}. "
        f"Only a PaymentIntent with one of the following statuses may be {verb}: {allowed}."
    )


def confirm(call: Call, id: str) -> Document:
    """Try to pay: succeeds, asks for 3-D Secure, or refuses with the bank's reason (402)."""
    intent = get(call, id)
    refuse_unemulated(call.params)
    if intent["status"] in ("succeeded", "requires_capture"):
        message = (
            "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed."
        )
        raise unexpected_state(message, visible(intent))
    if intent["status"] not in CONFIRMABLE:
        raise unexpected_state(
            _forbidden("You cannot confirm this PaymentIntent", intent, "confirmed", CONFIRMABLE),
            visible(intent),
        )
    return _confirmed(call, intent, call.params)


def _confirmed(call: Call, intent: Document, params: dict[str, Any]) -> Document:
    automatic = intent["automatic_payment_methods"] or {}
    may_redirect = automatic.get("enabled") and automatic.get("allow_redirects") == "always"
    if may_redirect and not params.get("return_url") and not params.get("use_stripe_sdk"):
        raise invalid(NEEDS_RETURN_URL)
    if "return_url" in params and not re.match(r"[a-z][a-z0-9+.-]*://", params["return_url"]):
        raise invalid("Not a valid URL", param="return_url", code="url_invalid")
    intent |= {name: params[name] for name in ("receipt_email", "shipping", "capture_method") if params.get(name)}
    method = _method(call, intent, params)
    if method is None and intent["payment_method"]:
        method = payment_methods.usable(call, intent["payment_method"], intent["id"])
    if method is None:
        raise unexpected_state(NEEDS_METHOD, visible(intent))
    return attempts.begin(call, intent, method, params)


def capture(call: Call, id: str) -> Document:
    """Take the money of an authorized PaymentIntent, in whole or in part."""
    intent = get(call, id)
    if intent["status"] == "succeeded":
        message = "This PaymentIntent could not be captured because it has already been captured."
        raise unexpected_state(message, visible(intent))
    if intent["status"] != "requires_capture":
        what = "This PaymentIntent could not be captured"
        raise unexpected_state(_forbidden(what, intent, "captured", ("requires_capture",)), visible(intent))
    amount: int = call.params.get("amount_to_capture") or intent["amount_capturable"]
    if not 0 < amount <= intent["amount_capturable"]:
        raise invalid(
            f"The provided amount_to_capture of {amount} is greater than amount_capturable "
            f"({intent['amount_capturable']}) for this payment.",
            param="amount_to_capture",
            code="amount_too_large",
        )
    charge = charges.get(call, intent["latest_charge"])
    intent["metadata"] = merge_metadata(intent["metadata"], call.params.get("metadata"))
    charges.capture(call, charge, amount)
    return attempts.succeed(call, intent, charge, amount)


def cancel(call: Call, id: str) -> Document:
    """End an unpaid PaymentIntent for good; an authorization is released, its charge uncaptured and unrefunded."""
    intent = get(call, id)
    if intent["status"] not in CANCELABLE:
        raise unexpected_state(
            _forbidden("You cannot cancel this PaymentIntent", intent, "canceled", CANCELABLE),
            visible(intent),
        )
    intent |= {
        "status": "canceled",
        "amount_capturable": 0,
        "canceled_at": now(),
        "cancellation_reason": call.params.get("cancellation_reason"),
        "next_action": None,
    }
    call.state.save(intent)
    emit(call, "payment_intent.canceled", intent)
    return intent


def list_intents(call: Call) -> Document:
    """Return PaymentIntents, newest first."""
    return list_page(call.state, "payment_intent", call.params, "/v1/payment_intents")
