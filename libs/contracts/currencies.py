"""The currencies that CURRENCY may name, and the one conversion between their major and minor units.

Every stored or sent amount is an integer in its currency's minor unit, whatever its name (`price_cents`). Digits are
those of ISO 4217, through Babel. Domains import this file, so it imports nothing else but the limits.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from babel.numbers import get_currency_precision

from libs.contracts.limits import MAXIMUM_PRICE_CENTS

MINIMUMS = {
    "usd": 50, "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
    "bhd": 1000, "jod": 1000, "krw": 1000, "kwd": 1000, "omr": 1000, "tnd": 3000,
}  # fmt: skip
"""The least that Stripe charges (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).

It lists none for those of the last line: there the minimum of the account's own currency applies, after conversion, and
ours is higher than each of those. Stripe charges two decimals of ISK and UGX though they have none: neither is here.
"""
CURRENCY_FORM = f"CODE, one of {', '.join(sorted(MINIMUMS))}"
MAXIMUM_FRACTION_DIGITS = 20  # all but the first few must be 0 anyway


@dataclass(frozen=True)
class Currency:
    """A currency by its lower-case code, with the bounds of a price in its minor unit."""

    code: str
    digits: int
    minimum: int

    @property
    def step(self) -> int:
        """Prices are multiples of this: with three decimals Stripe requires the last one to be 0."""
        return 10 if self.digits == 3 else 1

    @property
    def maximum(self) -> int:
        """The most that Stripe charges."""
        return MAXIMUM_PRICE_CENTS // self.step * self.step

    def is_price(self, minor: int) -> bool:
        """Return whether Stripe charges this amount."""
        return self.minimum <= minor <= self.maximum and minor % self.step == 0

    def major(self, minor: int) -> Decimal:
        """Return an amount in major units, with all of the currency's decimals."""
        return Decimal(minor).scaleb(-self.digits)

    def minor(self, major: int | Decimal) -> int | None:
        """Return an amount in major units as whole minor units; None if negative, too large or not a whole number."""
        exponent = major.as_tuple().exponent if isinstance(major, Decimal) else 0
        if not isinstance(exponent, int) or exponent < -MAXIMUM_FRACTION_DIGITS:
            return None  # 1e-99999999 has eleven characters, but calculating with it takes minutes
        if not 0 <= major <= MAXIMUM_PRICE_CENTS:
            return None
        numerator, denominator = major.as_integer_ratio()
        minor, rest = divmod(numerator * 10**self.digits, denominator)
        return None if rest else minor

    @property
    def example(self) -> Decimal:
        """An amount in major units as users may type it."""
        return self.major(1999 // self.step * self.step)

    @property
    def text_pattern(self) -> str:
        """The form of an amount in major units as text."""
        return r"\d{1,9}" + (rf"(\.\d{{1,{self.digits}}})?" if self.digits else "")

    def parse(self, text: str) -> int | None:
        """Return in minor units a text in major units, with a point and no more decimals than the currency has."""
        matches = re.fullmatch(self.text_pattern, text.strip(), re.ASCII)
        return self.minor(Decimal(text.strip())) if matches else None


@cache
def _known(code: str) -> Currency:
    return Currency(code, get_currency_precision(code.upper()), MINIMUMS[code])


def currency_setting(text: str) -> Currency:
    """Return the currency with this code, in whichever case; raise ValueError when it is not one of these."""
    code = text.strip().lower()
    if code not in MINIMUMS:
        raise ValueError(text)
    return _known(code)


def currency_of(code: str) -> Currency:
    """Return the currency of a stored amount, which may be from an earlier setting that was wrong."""
    code = code.lower()
    return _known(code) if code in MINIMUMS else Currency(code, get_currency_precision(code.upper()), 1)
