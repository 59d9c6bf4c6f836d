"""Keyset pagination: where a page of a list ended, as an opaque cursor for the request for the next one."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from libs.contracts.texts import is_storable


class InvalidCursor(Exception):
    """The cursor does not come from a page of this list."""


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
        if not all(_is_comparable(value) for value in position.values()):
            raise ValueError("no stored document can have this position")
    except (ValueError, binascii.Error, RecursionError) as error:
        raise InvalidCursor("The page marker is not valid.") from error
    return position


def _is_comparable(value: str | int) -> bool:
    """Return whether MongoDB can compare with `value`: an integer of 64 bits, or text without lone surrogates."""
    return abs(value) < 2**63 if isinstance(value, int) else is_storable(value)
