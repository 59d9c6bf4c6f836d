"""One attempt to pay a PaymentIntent: the 3-D Secure challenge, the bank's answer, and its consequences."""

from typing import Any

from dev.fake_stripe import cards, charges, disputes
from dev.fake_stripe.call import Call
from dev.fake_stripe.errors import StripeError
from dev.fake_stripe.events import emit
from dev.fake_stripe.objects import visible
from dev.fake_stripe.state import Document

NOT_AUTHENTICATED = (
    "We are unable to authenticate your payment method. Please choose a different payment method and try again."
)


def begin(call: Call, intent: Document, method: Document, options: dict[str, Any]) -> Document:
    """Try to pay with this PaymentMethod: ask for a challenge when the card requires one, else ask the bank."""
    card = cards.by_number(method["_number"])
    intent |= {"payment_method": method["id"], "last_payment_error": None, "next_action": None}
    off_session = options.get("off_session") not in (None, False)
    if off_session and card.challenge and not card.set_up:
        return _declined(call, intent, method, "authentication_required")
    if card.challenge and not off_session:
        return _challenged(call, intent, method, options)
    return _asked(call, intent, method, card)


def _asked(call: Call, intent: Document, method: Document, card: cards.TestCard) -> Document:
    if card.decline:
        return _declined(call, intent, method, card.decline)
    return _paid(call, intent, method, card)


def _challenged(call: Call, intent: Document, method: Document, options: dict[str, Any]) -> Document:
    if options.get("error_on_requires_action"):
        return _failed(call, intent, method, _decline_error("authentication_required"))
    intent |= {"status": "requires_action", "next_action": _next_action(call, intent, options)}
    call.state.save(intent)
    emit(call, "payment_intent.requires_action", intent)
    return intent


def _next_action(call: Call, intent: Document, options: dict[str, Any]) -> Document:
    """Where the challenge is: a page that redirects back, or (for Stripe.js) a page to show in a frame."""
    url = f"{call.origin}/3d_secure/{intent['id']}?client_secret={intent['client_secret']}"
    intent["_return_url"] = options.get("return_url")
    if intent["_return_url"] and not options.get("use_stripe_sdk"):
        return {"type": "redirect_to_url", "redirect_to_url": {"return_url": intent["_return_url"], "url": url}}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}}


def authenticate(call: Call, intent: Document, passed: bool) -> Document:
    """Take the buyer's answer to the challenge; a decline or failure is kept on the PaymentIntent, not raised."""
    method = call.find("payment_method", intent["payment_method"])
    if intent["status"] != "requires_action" or method is None:
        return intent
    intent["next_action"] = None
    try:
        if passed:
            return _asked(call, intent, method, cards.by_number(method["_number"]))
        return _failed(call, intent, method, _authentication_error())
    except StripeError:
        return intent


def _paid(call: Call, intent: Document, method: Document, card: cards.TestCard) -> Document:
    charge = charges.attempt(call, intent, method, None)
    intent["latest_charge"] = charge["id"]
    call.state.save({**method, "_used_by": intent["id"]})
    if intent["capture_method"] == "manual":
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        call.state.save(intent)
        emit(call, "payment_intent.amount_capturable_updated", intent)
        return intent
    return succeed(call, intent, charge, intent["amount"])


def succeed(call: Call, intent: Document, charge: Document, amount: int) -> Document:
    """Record that the money is taken; a test card for disputes is disputed at once."""
    intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    call.state.save(intent)
    emit(call, "payment_intent.succeeded", intent)
    method = call.find("payment_method", charge["payment_method"])
    card = cards.by_number(method["_number"]) if method else None
    if card and card.dispute:
        disputes.open_dispute(call, charge, card.dispute, card.inquiry)
    return intent


def _declined(call: Call, intent: Document, method: Document, decline: str) -> Document:
    charge = charges.attempt(call, intent, method, decline)
    intent["latest_charge"] = charge["id"]
    return _failed(call, intent, method, {"charge": charge["id"], **_decline_error(decline)})


def _decline_error(decline: str) -> dict[str, Any]:
    code, message = cards.DECLINES[decline]
    param = {"incorrect_cvc": "cvc", "expired_card": "exp_month"}.get(code)
    return {"type": "card_error", "code": code, "decline_code": decline, "message": message, "param": param}


def _authentication_error() -> dict[str, Any]:
    code = "payment_intent_authentication_failure"
    return {"type": "invalid_request_error", "code": code, "message": NOT_AUTHENTICATED}


def _failed(call: Call, intent: Document, method: Document, why: dict[str, Any]) -> Document:
    """Keep the failure on the PaymentIntent, which asks for another PaymentMethod, and refuse (402)."""
    details = {name: value for name, value in why.items() if value is not None}
    error = StripeError(402, details.pop("type"), details.pop("message"), executed=True, **details)
    error.error["payment_method"] = visible(method)
    intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    intent["last_payment_error"] = dict(error.error)
    call.state.save(intent)
    emit(call, "payment_intent.payment_failed", intent)
    error.error["payment_intent"] = visible(intent)
    raise error
