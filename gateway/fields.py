"""The fields of the schemas: validated here if only their form matters, by their service if its rules do."""

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from babel import Locale
from flask import current_app
from marshmallow import Schema, fields, missing

from gateway.languages import LANGUAGES, N_
from gateway.price_input import ENGLISH, with_decimal_mark, with_point, without_currency
from libs.contracts.currencies import Currency, currency_of
from libs.contracts.limits import MAXIMUM_PRICE_CENTS
from libs.contracts.texts import is_storable

MAX_CHARACTERS = 1024
"""Longer texts are cut before a service sees them: every field's limit is far below."""


def error_messages(text: str) -> dict[str, Any]:
    """Return marshmallow's messages with `text` for a missing, a null and an invalid value alike."""
    return dict.fromkeys(("required", "null", "invalid", "invalid_utf8", "too_large"), text)


class StorableString(fields.String):
    """A string that MongoDB can store: without lone surrogates, at most `maximum` characters."""

    default_error_messages = {
        "long": N_("Enter at most {maximum} characters."),
        "half": N_("There is half of a character in this; enter it again."),
    }

    def __init__(self, problem: str, *, maximum: int = 255, minimum: int = 0, **options: Any) -> None:
        super().__init__(error_messages=error_messages(problem), **options)
        self.minimum, self.maximum = minimum, maximum

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = self._clean(super()._deserialize(value, attr, data, **kwargs))
        if len(text) < self.minimum:
            raise self.make_error("invalid")
        if len(text) > self.maximum:
            raise self.make_error("long", maximum=self.maximum)
        if not is_storable(text):
            raise self.make_error("half")
        return text

    def _clean(self, text: str) -> str:
        return text


class TrimmedString(StorableString):
    """Such a string, stripped of surrounding white space."""

    def _clean(self, text: str) -> str:
        return text.strip()


class Day(fields.Field[str]):
    """A day like 2030-01-31, loaded as when it begins in the site's time zone, or with `is_over` ends."""

    YEARS = range(2000, 2200)
    default_error_messages = {"invalid": N_("Enter a day like 2030-01-31.")}

    def __init__(self, *, is_over: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.is_over = is_over

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        try:
            day = date.fromisoformat(value.strip())
        except (AttributeError, ValueError) as error:
            raise self.make_error("invalid") from error
        if day.year not in self.YEARS:
            raise self.make_error("invalid")
        begins = datetime.combine(day + timedelta(days=self.is_over), time.min, current_app.config["TIME_ZONE"])
        return begins.isoformat()


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
        return _text(value)


class UnvalidatedTexts(UnvalidatedField):
    """Some texts by their names, as one object, that its service validates; `described` is its JSON Schema.

    A value of another JSON type, or one in it, becomes false, which a service refuses as such.
    """

    def __init__(self, described: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.described = described

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        return (
            {name: _text(value.get(name)) for name in self.described["properties"]}
            if isinstance(value, dict)
            else False
        )


def _text(value: Any) -> Any:
    """Return what a service gets for a text, or null."""
    if value is None:
        return None
    return value[:MAX_CHARACTERS] if isinstance(value, str) else False


class PricedSchema(Schema):
    """A schema with prices in one currency: by default that of the setting.

    With the `locale` of a visitor, prices may have its decimal comma.
    """

    def __init__(self, currency: Currency | None = None, locale: Locale | None = None) -> None:
        super().__init__()
        self._currency, self.locale = currency, locale

    @property
    def currency(self) -> Currency:
        """The currency of the prices."""
        priced_in: Currency = self._currency or current_app.config["CURRENCY"]
        return priced_in


class Price(UnvalidatedField):
    """A price in major units (19.99, as a number or as text), loaded as integer minor units, or null.

    It never becomes a float before it is dumped. Its service validates it; the bounds are for the description. Objects
    to dump have a `currency`; one that is loaded belongs to a PricedSchema.
    """

    def __init__(self, *, may_be_0: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.may_be_0 = may_be_0

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int | None:
        schema = self.parent
        assert isinstance(schema, PricedSchema)
        if isinstance(value, str):
            return _typed_price(value, schema.currency, schema.locale)
        return schema.currency.minor(value) if is_number(value) else None

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> float | None:
        return None if value is None else to_number(value, obj["currency"])


def _typed_price(text: str, currency: Currency, locale: Locale | None) -> int | None:
    if locale is None:
        return currency.parse(text)
    plain = with_point(without_currency(text, currency.code, locale), locale)
    return None if plain is None else currency.parse(plain)


class PriceFilter(Price):
    """A price to compare with, validated here; `{example}` in the `problem` becomes a price.

    A text that is no price in the visitor's locale is read as in the other languages of the site: 1,000 stays the same
    when a visitor changes the language, or shares the link.
    """

    def __init__(self, problem: str, **options: Any) -> None:
        super().__init__(may_be_0=True, error_messages=error_messages(problem), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        schema = self.parent
        assert isinstance(schema, PricedSchema)
        minor = super()._deserialize(value, attr, data, **kwargs)
        if minor is None and isinstance(value, str) and schema.locale:
            readings = (_typed_price(value, schema.currency, Locale(name)) for name in LANGUAGES)
            minor = next((each for each in readings if each is not None), None)
        if minor is None or minor > MAXIMUM_PRICE_CENTS:
            example = str(schema.currency.example)
            raise self.make_error("invalid", example=with_decimal_mark(example, schema.locale or ENGLISH))
        return minor


def is_number(value: Any) -> bool:
    """Return whether `value` is an exact number of a JSON body."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def to_number(minor: int, code: str) -> float:
    """Return an amount as a number of major units, as JSON writes it: an integer in a currency without decimals."""
    currency = currency_of(code)
    return minor / 10**currency.digits if currency.digits else minor


class Integer(fields.Field[int]):
    """An integer between two bounds; with `text` also as a string of digits, as in a URL."""

    def __init__(self, problem: str, minimum: int, maximum: int, *, text: bool = False, **options: Any) -> None:
        super().__init__(error_messages=error_messages(problem), **options)
        self.minimum, self.maximum, self.text = minimum, maximum, text

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if self.text and isinstance(value, str) and re.fullmatch(r"\d{1,15}", value, re.ASCII):
            value = int(value)
        if not is_number(value) or not self.minimum <= value <= self.maximum or value % 1:
            raise self.make_error("invalid")
        return int(value)
