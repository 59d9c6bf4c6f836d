"""Builds the OpenAPI description from the routes, the table of operations and the schemas."""

import re
from http import HTTPStatus
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin, resolver
from flask import Flask
from marshmallow import fields
from werkzeug.routing import Rule

from gateway.fields import (
    Day,
    Integer,
    Price,
    StorableString,
    TrimmedString,
    UnvalidatedText,
    UnvalidatedTexts,
    to_number,
)
from gateway.openapi.operations import GROUPS, OPERATIONS, Operation
from gateway.schemas import ErrorsResponse, EventResponse, ResponseSchema, TicketResponse
from libs.contracts.currencies import Currency
from libs.contracts.limits import MAXIMUM_KEY

SAFE = {"GET", "HEAD"}
INTRODUCTION = (
    "Sell and buy tickets. Sign up or in first: the answer sets the session cookie, and later ones renew it, "
    "so keep the cookies of every answer. A session ends after 12 hours, or about an hour after the last request that "
    "needs it. Bodies are JSON in camelCase, prices decimals in major units, times ISO 8601 in UTC; unknown fields are "
    "ignored. Lists come in pages: the `Link` header leads to the next one, and only the last has none: a "
    'page before it may be short, or empty. Every error is `{"errors": [{"message", "field"?}]}`; with 429 and 503, '
    "`Retry-After` is the number of seconds after which to try again."
)
KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": f"1 to {MAXIMUM_KEY} printable ASCII characters, without spaces, of the client's choice: new for "
    "each thing to make.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAXIMUM_KEY, "pattern": r"^[\x21-\x7e]+$"},
}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "The ETag of the ticket that the seller saw, or *; does what the version in the body of a PUT does, "
    "and must be the same if both are given.",
    "schema": {"type": "string", "pattern": r'^("[1-9][0-9]{0,8}"|\*)$'},
}
HEADERS = {
    **dict.fromkeys(("api_orders.create", "api_tickets.create"), KEY),
    **dict.fromkeys(("api_tickets.update", "api_tickets.withdraw"), IF_MATCH),
}
"""The headers that a route's request may have, by its endpoint."""
ETAG = {
    "description": "For If-None-Match; a ticket's, which is its version, for If-Match too.",
    "schema": {"type": "string"},
}
RETRY_AFTER = {"description": "After how many seconds to try again.", "schema": {"type": "integer", "minimum": 1}}
LINK = {"description": 'Where the next page is, as `<URL>; rel="next"`.', "schema": {"type": "string"}}


def describe(app: Flask) -> dict[str, Any]:
    """Return the description of the routes of `app` that are in the table of operations."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec("Ticketing", "1.0", "3.1.0", plugins=[plugin], info={"description": INTRODUCTION})
    assert plugin.converter is not None
    currency: Currency = app.config["CURRENCY"]

    def describe_field(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
        return _describe_price(field, currency) if isinstance(field, Price) else _describe_field(field)

    plugin.converter.add_attribute_function(describe_field)
    cookie = {"type": "apiKey", "in": "cookie", "name": app.config["SESSION_COOKIE_NAME"]}
    spec.components.security_scheme("session", cookie)
    for group, description in GROUPS.items():
        spec.tag({"name": group, "description": description})
    for rule in app.url_map.iter_rules():
        if rule.endpoint in OPERATIONS:
            _add(spec, plugin, app, rule)
    document: dict[str, Any] = spec.to_dict()
    for name, schema in document["components"]["schemas"].items():
        if not name.endswith(("Body", "Problem")):
            schema["required"] = list(schema["properties"])
    return document


def _add(spec: APISpec, plugin: MarshmallowPlugin, app: Flask, rule: Rule) -> None:
    operation = OPERATIONS[rule.endpoint]
    path = re.sub(r"<(\w+)>", r"{\1}", rule.rule)
    for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
        described = {
            "operationId": rule.endpoint.removeprefix("api_"),
            "tags": [operation.group],
            "summary": (app.view_functions[rule.endpoint].__doc__ or "").strip().split("\n")[0],
            "description": operation.description,
            "parameters": _parameters(plugin, rule, operation),
            "responses": _responses(method, rule, operation),
            "security": [{"session": []}] if operation.needs_session else [],
        }
        if operation.body:
            described["requestBody"] = {"required": True, "content": {"application/json": {"schema": operation.body}}}
        spec.path(path, operations={method.lower(): described})


def _parameters(plugin: MarshmallowPlugin, rule: Rule, operation: Operation) -> list[dict[str, Any]]:
    found = [{"in": "path", "name": name, "required": True, "schema": {"type": "string"}} for name in rule.arguments]
    if operation.query:
        assert plugin.converter is not None
        found += [
            _without_null(parameter)
            for parameter in plugin.converter.schema2parameters(operation.query(), location="query")
        ]
    return [*found, HEADERS[rule.endpoint]] if rule.endpoint in HEADERS else found


def _without_null(parameter: dict[str, Any]) -> dict[str, Any]:
    """Return a query parameter without null, which a URL cannot express: it is left out instead."""
    schema = parameter["schema"]
    if isinstance(schema["type"], list):
        schema["type"] = next(kind for kind in schema["type"] if kind != "null")
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    if schema.get("default", "") is None:
        del schema["default"]
    if schema["type"] == "number":
        del schema["pattern"]
    return {**parameter, "schema": schema}


def _responses(method: str, rule: Rule, operation: Operation) -> dict[str, Any]:
    """Return the responses of a route: its success, its own errors, and those of the checks before it."""
    statuses = {*operation.errors, 503}
    if operation.needs_session:
        statuses.add(401)
    if method not in SAFE:
        statuses |= {400, 403, 408, 413, 415}
    if operation.query:
        statuses.add(414)
    error = {"content": {"application/json": {"schema": ErrorsResponse}}}
    responses: dict[str, Any] = {str(status): {"description": _phrase(status), **error} for status in sorted(statuses)}
    for status in {"429", "503"} & responses.keys():
        responses[status]["headers"] = {"Retry-After": RETRY_AFTER}
    success: dict[str, Any] = {"description": _phrase(operation.status)}
    if operation.response:
        is_array = operation.many or operation.is_list
        schema: Any = {"type": "array", "items": operation.response} if is_array else operation.response
        success["content"] = {"application/json": {"schema": schema}}
    if operation.many:
        success["headers"] = {"Link": LINK}
    elif operation.response in (TicketResponse, EventResponse):
        success["headers"] = {"ETag": ETAG}
    if method == "GET" and operation.response in (TicketResponse, EventResponse) and not operation.needs_session:
        success["headers"]["ETag"] = ETAG
        responses["304"] = {"description": "If-None-Match names the ETag that the answer would have."}
    return {str(operation.status): success, **responses}


def _describe_field(field: fields.Field[Any]) -> dict[str, Any]:
    """Return the JSON Schema of our own fields, except prices."""
    if isinstance(field, UnvalidatedText | UnvalidatedTexts):
        return field.described
    if isinstance(field, Day):
        return {"type": "string", "format": "date"}
    if isinstance(field, Integer):
        kind = {"type": ["integer", "null"] if field.allow_none else "integer"}
        return {**kind, "minimum": field.minimum, "maximum": field.maximum}
    if isinstance(field, TrimmedString) and field.minimum:
        return {"minLength": field.minimum, "maxLength": field.maximum, "pattern": r"\S"}
    return {"minLength": field.minimum, "maxLength": field.maximum} if isinstance(field, StorableString) else {}


def _describe_price(field: Price, currency: Currency) -> dict[str, Any]:
    """Return the JSON Schema of a price. Only whole ones get a multipleOf: 19.99 is no multiple of 0.01 in floats.

    What is answered may be in an earlier currency, which has other bounds.
    """
    example = {"examples": [float(currency.example)]}
    if isinstance(field.parent, ResponseSchema):
        return {"type": ["number", "null"] if field.allow_none else "number", **example}
    bounds = (0 if field.may_be_0 else currency.minimum, currency.maximum)
    lowest, highest = (to_number(minor, currency.code) for minor in bounds)
    number = {"minimum": lowest, "maximum": highest, **example}
    if not currency.digits:
        number["multipleOf"] = 1
    return {"type": ["number", "string"], **number, "pattern": rf"^\s*{currency.text_pattern}\s*$"}


def _name(schema: Any) -> str:
    name: str = resolver(schema)
    return name.removesuffix("Response")


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase
