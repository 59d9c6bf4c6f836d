"""Stripe's bounds on an amount of money (docs.stripe.com/currencies)."""

from dev.fake_stripe.errors import invalid
from libs.contracts.currencies import MINIMUMS, currency_of

MAXIMUM = 99_999_999


def check_amount(amount: int, code: str) -> None:
    """Refuse an amount that Stripe would refuse in this currency."""
    if code.lower() not in MINIMUMS:
        raise invalid(
            f"Invalid currency: {code.lower()}. Stripe currently supports these currencies: {', '.join(MINIMUMS)}",
            param="currency",
        )
    currency = currency_of(code)
    if amount < 1:
        raise invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
    if amount < currency.minimum:
        raise invalid(
            f"Amount must be at least {format_amount(currency.minimum, code)}", param="amount", code="amount_too_small"
        )
    if amount > MAXIMUM:
        raise invalid(
            f"Amount must be no more than {format_amount(MAXIMUM, code)}", param="amount", code="amount_too_large"
        )
    if amount % currency.step:
        raise invalid(f"Amounts in {code.lower()} must have 0 as their last digit.", param="amount")


def format_amount(amount: int, code: str) -> str:
    """Return an amount as Stripe's messages show it."""
    sign = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(code.lower(), "")
    return f"{sign}{currency_of(code).major(amount):,} {code.lower()}"
