"""JSON bodies: bounded, really JSON, an object, and then what the schema says."""

import json
from decimal import Decimal
from typing import Any, NoReturn

from flask import request
from marshmallow import Schema
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from gateway.errors import GatewayError, reading
from gateway.security import SAFE_METHODS, WEBHOOKS, has_body

LIMIT_BYTES = 1024 * 1024
NUMBER_CHARACTERS = 40


def check_body() -> None:
    """Answer 415 and 413 before anything else is decided about a call of the API."""
    if request.method in SAFE_METHODS or not request.path.startswith("/api/"):
        return
    if has_body() and request.mimetype != "application/json" and not request.path.startswith(WEBHOOKS):
        raise UnsupportedMediaType
    with reading():
        body = request.get_data()  # raises RequestEntityTooLarge when the announced length is past MAX_CONTENT_LENGTH
    if request.content_length is None and len(body) >= LIMIT_BYTES:
        raise RequestEntityTooLarge  # werkzeug cuts a chunked body off at the limit and says nothing


def read_body(schema: Schema) -> dict[str, Any]:
    """Return the valid arguments in this request's body; raise ValidationError or GatewayError."""
    body = parse(request.get_data())
    if not isinstance(body, dict):
        raise GatewayError("InvalidJson")
    loaded: dict[str, Any] = schema.load(body)
    return loaded


def parse(raw: bytes) -> Any:
    """Return the JSON value in `raw`, with exact decimals; refuse NaN, a name twice, absurd depth, no JSON."""
    try:
        return json.loads(raw.decode() or "{}", parse_float=_number, parse_constant=_refuse, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise GatewayError("InvalidJson") from error


def _number(text: str) -> Decimal:
    if len(text) > NUMBER_CHARACTERS:
        raise ValueError("a number with absurdly many digits")
    return Decimal(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice in one object: who can say which value is meant?")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
