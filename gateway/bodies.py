"""The contents of API requests: bodies (limited in size, strict JSON, validated by a schema), keys and versions.

Also the JSON of responses.
"""

import json
import re
from codecs import BOM_UTF8
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from flask import Response, request
from flask.json.provider import DefaultJSONProvider
from marshmallow import Schema
from werkzeug.exceptions import UnsupportedMediaType

from gateway.errors import GatewayError
from gateway.security import SAFE_METHODS, WEBHOOKS, has_body, receive_body
from libs import wire
from libs.contracts.limits import MAXIMUM_KEY, MAXIMUM_VERSION

LIMIT_BYTES = 1024 * 1024
MAX_NUMBER_CHARACTERS = 40
PRINTABLE = re.compile(rf"[\x21-\x7e]{{1,{MAXIMUM_KEY}}}")
ETAG = re.compile(r'"([0-9]{1,10})"')


class JsonAnswers(DefaultJSONProvider):
    """Flask's JSON provider, except that `libs.wire` writes responses; the members of an object keep their order."""

    sort_keys = False  # the newest of the saved input comes last

    def response(self, *arguments: Any, **members: Any) -> Response:
        """Return a response with a value, as Flask's `jsonify` takes it."""
        value = self._prepare_response_obj(arguments, members)
        return Response(wire.encode(value, self.default) + b"\n", mimetype=self.mimetype)


def check_body() -> None:
    """Refuse a body of another type (415) or too large (413) before anything else of an API request is checked."""
    if request.method in SAFE_METHODS or not request.path.startswith("/api/"):
        return
    if has_body() and request.mimetype != "application/json" and not request.path.startswith(WEBHOOKS):
        raise UnsupportedMediaType
    receive_body(LIMIT_BYTES)


def read_body(schema: Schema) -> dict[str, Any]:
    """Return the validated fields of this request's body; raise ValidationError or GatewayError."""
    body = parse(request.get_data())
    if not isinstance(body, dict):
        raise GatewayError("InvalidJson")
    loaded: dict[str, Any] = schema.load(body)
    return loaded


def read_key() -> str | None:
    """Return this request's Idempotency-Key, or None; raise GatewayError."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not PRINTABLE.fullmatch(key):
        raise GatewayError("InvalidKey")
    return key


def read_version() -> int | None:
    """Return the version that If-Match names, which is the ETag of a ticket; None for * or none; raise GatewayError."""
    given = request.headers.get("If-Match", "*").strip()
    if given == "*":
        return None
    found = ETAG.fullmatch(given)
    if not found or not 1 <= int(found[1]) <= MAXIMUM_VERSION:
        raise GatewayError("InvalidEtag")
    return int(found[1])


def parse(raw: bytes) -> Any:
    """Return the JSON value in `raw`, with exact decimals; raise GatewayError, also for NaN and repeated names."""
    try:
        return DECODER.decode(raw.decode() or "{}")
    except UnicodeDecodeError as error:
        raise GatewayError("NotUtf8") from error
    except json.JSONDecodeError as error:
        raise GatewayError("NotUtf8" if raw.startswith(BOM_UTF8) else "InvalidJson") from error
    except (ValueError, InvalidOperation) as error:
        raise GatewayError("NumberTooLong") from error
    except RecursionError as error:
        raise GatewayError("TooDeep") from error


def _decimal(text: str) -> Decimal:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise GatewayError("NumberTooLong")
    return Decimal(text)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise GatewayError("RepeatedName")
    return found


def _reject_constant(_name: str) -> NoReturn:
    raise GatewayError("NotANumber")


DECODER = json.JSONDecoder(parse_float=_decimal, parse_constant=_reject_constant, object_pairs_hook=_unique_names)
