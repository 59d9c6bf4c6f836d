"""The fields of the schemas: text, prices in exact cents, times in UTC."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from marshmallow import fields

from libs.clock import iso

PRICE_TEXT = re.compile(r"\d{1,9}(\.\d{1,2})?", re.ASCII)
MAX_FRACTION_DIGITS = 20  # all but the first two must be 0 anyway
MIN_PRICE_CENTS, MAX_PRICE_CENTS = 50, 99_999_999  # Stripe's own bounds for an amount


def error_messages(text: str) -> dict[str, Any]:
    """Return marshmallow's messages with `text` for a missing, a null and an invalid value alike."""
    return dict.fromkeys(("required", "null", "invalid", "invalid_utf8", "too_large"), text)


class StorableString(fields.String):
    """A string that MongoDB can store: without lone surrogates, at most `maximum` characters."""

    def __init__(self, problem: str, *, maximum: int = 255, minimum: int = 0, **options: Any) -> None:
        super().__init__(error_messages=error_messages(problem), **options)
        self.minimum, self.maximum = minimum, maximum

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = self._clean(super()._deserialize(value, attr, data, **kwargs))
        if not self.minimum <= len(text) <= self.maximum or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self.make_error("invalid")
        return text

    def _clean(self, text: str) -> str:
        return text


BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Controls that change the direction of the text that follows (https://www.unicode.org/reports/tr9/, section 2)."""
INVISIBLE = {"Cf", "Zs", "Zl", "Zp", "Mn"}
"""Categories of characters that are invisible by themselves (https://www.unicode.org/reports/tr44/, table 12)."""


class Text(StorableString):
    """A line of text to show: trimmed, visible, without control characters or changes of direction."""

    def _clean(self, text: str) -> str:
        text = text.strip()
        categories = {unicodedata.category(letter) for letter in text}
        if "Cc" in categories or not BIDIRECTIONAL.isdisjoint(text) or (text and categories <= INVISIBLE):
            raise self.make_error("invalid")
        return text


class Price(fields.Field[int]):
    """A price in major units (19.99, as a number or as text), loaded as integer cents; never through a float."""

    def __init__(self, problem: str, *, minimum_cents: int = MIN_PRICE_CENTS, **options: Any) -> None:
        super().__init__(error_messages=error_messages(problem), **options)
        self.minimum_cents = minimum_cents

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        cents = to_cents(value)
        if cents is None or not self.minimum_cents <= cents <= MAX_PRICE_CENTS:
            raise self.make_error("invalid")
        return cents

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return None if value is None else value / 100


def to_cents(value: Any) -> int | None:
    """Return a price given as Decimal, int or text in cents; None when it is not one in whole cents."""
    if isinstance(value, str) and PRICE_TEXT.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= MAX_PRICE_CENTS:
        return None
    exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
    if not isinstance(exponent, int) or exponent < -MAX_FRACTION_DIGITS:
        return None  # 1e-99999999 has eleven characters, but calculating with it takes minutes
    numerator, denominator = value.as_integer_ratio()
    cents, rest = divmod(numerator * 100, denominator)
    return None if rest else cents


class Timestamp(fields.Field[str]):
    """An ISO 8601 time with an offset, loaded as the same time in UTC."""

    def __init__(self, problem: str, **options: Any) -> None:
        super().__init__(error_messages=error_messages(problem), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        try:
            return iso(datetime.fromisoformat(value))
        except (TypeError, ValueError, OverflowError) as error:
            raise self.make_error("invalid") from error


class Integer(fields.Field[int]):
    """An integer between two bounds; with `text` also as a string of digits, as in a URL."""

    def __init__(self, problem: str, minimum: int, maximum: int, *, text: bool = False, **options: Any) -> None:
        super().__init__(error_messages=error_messages(problem), **options)
        self.minimum, self.maximum, self.text = minimum, maximum, text

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if self.text and isinstance(value, str) and re.fullmatch(r"\d{1,15}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.minimum <= value <= self.maximum:
            raise self.make_error("invalid")
        return value
