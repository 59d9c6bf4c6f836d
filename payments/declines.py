"""What a buyer whose card was declined is told."""

from payments.domain import MAXIMUM_DECLINES, Payment, PaymentDeclined


def declined(payment: Payment, code: str | None = None) -> PaymentDeclined:
    """Return what to tell a buyer whose card was declined with Stripe's `code`."""
    remaining = max(0, MAXIMUM_DECLINES - payment.declines) if payment.status == "open" else 0
    message = SENTENCES.get(code or payment.decline_code or "", "Your card was declined. Try another card.")
    return PaymentDeclined(message, decline_code=code or payment.decline_code, remaining=remaining)


SENTENCES = {
    "insufficient_funds": "Your card has insufficient funds. Try another card.",
    "expired_card": "Your card has expired. Try another card.",
    "incorrect_cvc": "Your card's security code is incorrect. Check it, or try another card.",
    "processing_error": "Your bank could not process the card just now. Try again in a moment.",
    "payment_intent_authentication_failure": "Your bank could not confirm that it is you. Try again, or another card.",
    "authentication_required": "Your bank wants you to confirm the payment. Try again and follow its instructions.",
}
"""What a buyer can do about a decline, by Stripe's code (https://docs.stripe.com/declines/codes)."""
