"""The fields of the schemas: validated here when only their form matters, by their service when its rules do."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import fields, missing

from libs.contracts.limits import MAXIMUM_PRICE_CENTS, MINIMUM_PRICE_CENTS, is_storable

PRICE_TEXT = re.compile(r"\d{1,9}(\.\d{1,2})?", re.ASCII)
MAX_FRACTION_DIGITS = 20  # all but the first two must be 0 anyway
MAX_CHARACTERS = 1024
"""Longer texts are cut before a service sees them: every field's limit is far below."""


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
        if not self.minimum <= len(text) <= self.maximum or not is_storable(text):
            raise self.make_error("invalid")
        return text

    def _clean(self, text: str) -> str:
        return text


class TrimmedString(StorableString):
    """Such a string without white space around it."""

    def _clean(self, text: str) -> str:
        return text.strip()


class UnvalidatedField(fields.Field[Any]):
    """A field that its service validates, together with the others of the body, so that their errors are one list.

    A missing value becomes null when it is required, and null stays null: no validation here.
    """

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        """Return what the service gets for `value`; never raises."""
        if value is None or value is missing:
            return None if value is None or self.required else missing
        return self._deserialize(value, attr, data, **kwargs)


class UnvalidatedText(UnvalidatedField):
    """A text that its service validates; `described` is its JSON Schema.

    A value of another JSON type becomes false, which a service refuses as such.
    """

    def __init__(self, described: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.described = described

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        return value[:MAX_CHARACTERS] if isinstance(value, str) else False


class Price(UnvalidatedField):
    """A price in major units (19.99, as a number or as text), loaded as integer cents, or null; never through a float.

    Its service validates it; the bounds are for the description.
    """

    def __init__(self, *, minimum_cents: int = MINIMUM_PRICE_CENTS, **options: Any) -> None:
        super().__init__(**options)
        self.minimum_cents = minimum_cents

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int | None:
        return to_cents(value)

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return None if value is None else value / 100


class PriceFilter(Price):
    """A price to compare with, validated here."""

    def __init__(self, problem: str, **options: Any) -> None:
        super().__init__(minimum_cents=0, error_messages=error_messages(problem), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        cents = to_cents(value)
        if cents is None or cents > MAXIMUM_PRICE_CENTS:
            raise self.make_error("invalid")
        return cents


def to_cents(value: Any) -> int | None:
    """Return a price given as Decimal, int or text in cents; None when it is not one in whole cents."""
    if isinstance(value, str) and PRICE_TEXT.fullmatch(value.strip()):
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= MAXIMUM_PRICE_CENTS:
        return None
    exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
    if not isinstance(exponent, int) or exponent < -MAX_FRACTION_DIGITS:
        return None  # 1e-99999999 has eleven characters, but calculating with it takes minutes
    numerator, denominator = value.as_integer_ratio()
    cents, rest = divmod(numerator * 100, denominator)
    return None if rest else cents


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
