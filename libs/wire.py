"""JSON as RPC and the API send it: written and read by orjson, in a fraction of the standard library's time.

What orjson does not take is left to the standard library, so that nothing is refused or written differently because of
it: numbers beyond 64 bits, halves of characters, keys that are not text, deep nesting. Where orjson would silently
differ, it is prevented: times have our form, and NaN and the infinities are refused instead of becoming null.
"""

import json
import math
from collections.abc import Callable
from typing import Any

import orjson

OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
CONTAINERS = {dict, list, tuple}


def encode(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return a value as JSON; `default` converts what JSON does not have.

    Raises TypeError for that without a `default`, ValueError for NaN, the infinities and circular references.
    """
    try:
        encoded = orjson.dumps(value, default, OPTIONS)
    except TypeError:
        return json.dumps(value, default=default, allow_nan=False).encode()
    if b"null" in encoded and _has_no_number(value):
        raise ValueError("NaN and the infinities are not JSON")
    return encoded


def decode(body: bytes) -> Any:
    """Return the value in JSON; raise ValueError or RecursionError when it is none.

    A whole number beyond 64 bits becomes a float, which no method takes for a whole number.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)


def _has_no_number(value: Any) -> bool:
    """Return whether NaN or an infinity is in a value that was encoded."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else (value,)
    for each in values:
        if type(each) is float:
            if not math.isfinite(each):
                return True
        elif type(each) in CONTAINERS and _has_no_number(each):
            return True
    return False
