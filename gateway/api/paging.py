"""Paging: the query of a list, and the Link header with its next page (RFC 8288)."""

from typing import Any
from urllib.parse import urlencode

from flask import Response, g, jsonify, request
from marshmallow import Schema, ValidationError

from gateway.languages import N_

ONCE = N_("Give this only once.")


def read_query(schema: Schema, *, is_form: bool = False) -> dict[str, Any]:
    """Return the query parameters that were given; raise ValidationError.

    In the query of a form an empty one counts as not given: a browser sends that for an empty field.
    """
    given = {name: values for name, values in request.args.lists() if name in _names(schema)}
    g.asked = [(name, value) for name, values in given.items() for value in values]
    repeated = {name: [ONCE] for name, values in given.items() if len(values) > 1}
    if repeated:
        raise ValidationError(repeated)
    loaded: dict[str, Any] = schema.load(
        {name: value for name, (value,) in given.items() if value.strip() or not is_form}
    )
    return {name: value for name, value in loaded.items() if value is not None}


def _names(schema: Schema) -> set[str | None]:
    return {field.data_key for field in schema.load_fields.values()}


def respond_page(schema: Schema, items: list[dict[str, Any]], following: str | None) -> Response:
    """Return `items` as a JSON array, with a Link to the next page if there is one."""
    response = jsonify(schema.dump(items, many=True))
    if following:
        response.headers["Link"] = f'<{page_path(following)}>; rel="next"'
    return response


def page_path(after: str | None) -> str:
    """Return the path and query of this list's page after the cursor `after`, or of its first page."""
    query = [(name, value) for name, value in asked() if name != "after"]
    query += [("after", after)] if after else []
    return f"{request.path}?{urlencode(query)}" if query else request.path


def asked() -> list[tuple[str, str]]:
    """Return the parameters of this list's query as they were typed, without unknown ones."""
    found: list[tuple[str, str]] = g.get("asked", [])
    return found


def asked_query() -> str:
    """Return `asked` as a query string."""
    return urlencode(asked())
