"""Stripe's bounds on an amount of money (docs.stripe.com/currencies)."""

from dev.fake_stripe.errors import invalid

MINIMUM = {
    "usd": 50, "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
MAXIMUM = 99_999_999
WITHOUT_CENTS = {"jpy"}


def check_amount(amount: int, currency: str) -> None:
    """Refuse an amount that Stripe would refuse in this currency."""
    currency = currency.lower()
    if currency not in MINIMUM:
        raise invalid(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: {', '.join(MINIMUM)}",
            param="currency",
        )
    if amount < 1:
        raise invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
    if amount < MINIMUM[currency]:
        raise invalid(
            f"Amount must be at least {_money(MINIMUM[currency], currency)}", param="amount", code="amount_too_small"
        )
    if amount > MAXIMUM:
        raise invalid(
            f"Amount must be no more than {_money(MAXIMUM, currency)}", param="amount", code="amount_too_large"
        )


def _money(amount: int, currency: str) -> str:
    sign = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(currency, "")
    return f"{sign}{amount:,} {currency}" if currency in WITHOUT_CENTS else f"{sign}{amount / 100:,.2f} {currency}"
