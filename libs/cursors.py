"""Keyset cursors: where a page of a list ended, as an opaque string that a client hands back."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any


class InvalidCursor(Exception):
    """The cursor is not one that a page of this list gave."""


def encode(position: dict[str, Any]) -> str:
    """Return `position` ({field: string or integer}) as a URL-safe string."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(cursor: object, fields: Mapping[str, type]) -> dict[str, Any] | None:
    """Return the position of `cursor`, which must have exactly `fields` with values of these types; None for None."""
    if cursor is None:
        return None
    try:
        padded = str(cursor) + "=" * (-len(str(cursor)) % 4)
        position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(position, dict) or {name: type(value) for name, value in position.items()} != fields:
            raise ValueError("not a position in this list")
        if not all(_is_storable(value) for value in position.values()):
            raise ValueError("no stored document can have this position")
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidCursor("The page marker is not valid.") from error
    return position


def _is_storable(value: str | int) -> bool:
    """Return whether MongoDB can compare with `value`: 64 bits of a number, text without half a surrogate pair."""
    if isinstance(value, int):
        return abs(value) < 2**63
    return not any("\ud800" <= letter <= "\udfff" for letter in value)
