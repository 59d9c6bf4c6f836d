"""Validation of a call's arguments, with messages that tell the caller what is wrong."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from libs.contracts.texts import is_storable

MAXIMUM_TEXT = 1024
YEARS = range(1970, 3000)
"""The years that times may have, so that hours can be added to each."""


class InvalidArguments(Exception):
    """An argument has the wrong type or value; the message names it."""


def text(name: str, value: object, maximum: int = MAXIMUM_TEXT) -> str:
    """Return `value` if it is a string of at most `maximum` characters that can be stored."""
    if not isinstance(value, str) or len(value) > maximum or not is_storable(value):
        raise InvalidArguments(f"{name} must be text of at most {maximum} characters.")
    return value


def items(name: str, values: object, maximum: int, minimum: int = 0) -> list[Any]:
    """Return `values` if it is a list of so many items."""
    if not isinstance(values, list) or not minimum <= len(values) <= maximum:
        raise InvalidArguments(f"{name} must be a list of {minimum} to {maximum} items.")
    return values


def texts(name: str, values: object, maximum: int) -> list[str]:
    """Return `values` if it is a list of at most `maximum` texts."""
    if not isinstance(values, list) or len(values) > maximum:
        raise InvalidArguments(f"{name} must be a list of at most {maximum} texts.")
    return [text(name, value) for value in values]


def optional_text(name: str, value: object, maximum: int = MAXIMUM_TEXT) -> str | None:
    """Return `value` if it is None, or such a text."""
    return None if value is None else text(name, value, maximum)


def reason(name: str, value: object) -> str:
    """Return `value` if it is a text that is not blank."""
    if not text(name, value).strip():
        raise InvalidArguments(f"{name} must say why.")
    return str(value)


def integer(name: str, value: object, minimum: int, maximum: int) -> int:
    """Return `value` if it is an integer between the bounds."""
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise InvalidArguments(f"{name} must be a whole number from {minimum} to {maximum}.")
    return value


def optional_integer(name: str, value: object, minimum: int, maximum: int) -> int | None:
    """Return `value` if it is None, or such an integer."""
    return None if value is None else integer(name, value, minimum, maximum)


def optional_flag(name: str, value: object) -> bool | None:
    """Return `value` if it is true, false or None."""
    if value is not None and not isinstance(value, bool):
        raise InvalidArguments(f"{name} must be true or false.")
    return value


def position(name: str, value: object) -> list[int] | None:
    """Return `value` if it is None or a position among changes: a list of two integers of 32 bits."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise InvalidArguments(f"{name} must be a list of two whole numbers.")
    return [integer(name, number, 0, 2**32 - 1) for number in value]


def choice(name: str, value: Any, values: Collection[str]) -> str:
    """Return `value` if it is one of `values`."""
    if not isinstance(value, str) or value not in values:
        raise InvalidArguments(f"{name} must be one of {', '.join(values)}.")
    return value


def moment(name: str, value: object) -> datetime:
    """Return the time in `value`, in ISO 8601 with an offset, in UTC and whole milliseconds."""
    return local_moment(name, value).astimezone(UTC)


def local_moment(name: str, value: object) -> datetime:
    """Return what `moment` does, but with the offset that `value` has."""
    try:
        local = datetime.fromisoformat(text(name, value))
        if local.tzinfo is None:
            raise ValueError("no offset")
        if local.astimezone(UTC).year not in YEARS:
            raise ValueError("out of bounds")
    except (ValueError, OverflowError) as error:
        sentence = f"{name} must be a time with its offset from UTC, such as 2026-12-24T19:30:00Z."
        raise InvalidArguments(sentence) from error
    return local.replace(microsecond=local.microsecond // 1000 * 1000)
