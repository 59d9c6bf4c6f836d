"""The message to a buyer whose card was declined: one table for the API and the page."""

from typing import Any

from payments.domain import Payment
from payments.errors import PaymentDeclined


def decline_error(payment: Payment, code: str | None = None) -> PaymentDeclined:
    """Return the error for a buyer whose card was declined with Stripe's `code`."""
    code, remaining = code or payment.decline_code, payment.remaining
    return PaymentDeclined(decline_message(code, remaining), decline_code=disclosed_code(code), remaining=remaining)


def buyer_view(payment: dict[str, Any]) -> dict[str, Any]:
    """Return a payment's snapshot as its buyer may see it, with a `decline_message`: "" if no decline matters any more.

    So a page can show a decline that Stripe reported to the browser alone.
    """
    matters = payment["declines"] > 0 and payment["status"] in ("open", "cancelled")
    message = decline_message(payment["decline_code"], payment["remaining"]) if matters else ""
    return payment | {"decline_code": disclosed_code(payment["decline_code"]), "decline_message": message}


def decline_message(code: str | None, remaining: int) -> str:
    """Return why a card was declined, as far as that may be disclosed, and what the buyer can do about it."""
    why, advice = MESSAGES.get(code or "", ("Your card was declined.", ANOTHER))
    return f"{why} {advice if remaining else OVER}"


def disclosed_code(code: str | None) -> str | None:
    """Return a decline code as a buyer may read it."""
    return "generic_decline" if code in UNDISCLOSED else code


UNDISCLOSED = ("fraudulent", "lost_card", "merchant_blacklist", "pickup_card", "restricted_card", "stolen_card")
"""Declines shown like any other: the person with the card may not be its owner."""

OVER = "This order has ended; to try another card, reserve the ticket again."
ANOTHER = "Try another card."
CHECK = "Check it, or try another card."
ASK = "Ask your bank, or try another card."
NUMBER = ("Your card's number is incorrect.", CHECK)
CODE = ("Your card's security code is incorrect.", CHECK)
DATE = ("Your card's expiry date is incorrect.", CHECK)
ADDRESS = ("Your bank knows another address for this card.", CHECK)
LIMIT = ("Your card is over its limit.", ASK)
LATER = ("Your bank could not process the payment just now.", "Try again in a moment, or another card.")
CONFIRM = ("Your bank wants you to confirm the payment.", "Try again and follow its instructions.")
MESSAGES = {
    "insufficient_funds": ("Your card has insufficient funds.", ANOTHER),
    "expired_card": ("Your card has expired.", ANOTHER),
    "incorrect_number": NUMBER,
    "invalid_number": NUMBER,
    "incorrect_cvc": CODE,
    "invalid_cvc": CODE,
    "invalid_expiry_month": DATE,
    "invalid_expiry_year": DATE,
    "incorrect_address": ADDRESS,
    "incorrect_zip": ADDRESS,
    "card_velocity_exceeded": LIMIT,
    "withdrawal_count_limit_exceeded": LIMIT,
    "invalid_amount": ("Your card cannot pay this amount.", ASK),
    "card_not_supported": ("Your card cannot pay for this kind of purchase.", ASK),
    "currency_not_supported": ("Your card cannot pay in this currency.", ASK),
    "duplicate_transaction": (
        "Your bank takes this for a payment it has just had.",
        "Look at your orders, then try again.",
    ),
    "processing_error": LATER,
    "reenter_transaction": LATER,
    "try_again_later": LATER,
    "issuer_not_available": LATER,
    "approve_with_id": LATER,
    "authentication_required": CONFIRM,
    "authentication_not_handled": CONFIRM,
    "mobile_device_authentication_required": CONFIRM,
    "payment_intent_authentication_failure": (
        "Your bank did not confirm it is you.",
        "Try again, or use another card.",
    ),
    "test_mode_live_card": ("Only test cards work here, and no money moves.", "Try a test card."),
    "testmode_decline": ("This is a test card, which buys nothing here.", ANOTHER),
}
"""Why, and what a buyer can do about it, by Stripe's code (https://docs.stripe.com/declines/codes)."""
