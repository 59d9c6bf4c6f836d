"""Paging: the query of a list, and the Link header that leads to its next page (RFC 8288)."""

from typing import Any
from urllib.parse import urlencode

from flask import Response, jsonify, request
from marshmallow import Schema, ValidationError

ONCE = "Give this only once."


def read_query(schema: Schema, *, is_form: bool = False) -> dict[str, Any]:
    """Return the arguments in the URL's query that were given; raise ValidationError.

    In the query of a form an empty one counts as not given: that is what a browser sends for a field left empty.
    """
    given = {name: values for name, values in request.args.lists() if name in _names(schema)}
    twice = {name: [ONCE] for name, values in given.items() if len(values) > 1}
    if twice:
        raise ValidationError(twice)
    loaded: dict[str, Any] = schema.load(
        {name: value for name, (value,) in given.items() if value.strip() or not is_form}
    )
    return {name: value for name, value in loaded.items() if value is not None}


def _names(schema: Schema) -> set[str | None]:
    return {field.data_key for field in schema.load_fields.values()}


def answer_page(answer: Schema, things: list[dict[str, Any]], following: str | None) -> Response:
    """Return the array of `things`, with a Link to the next page when there is one."""
    response = jsonify(answer.dump(things, many=True))
    if following:
        response.headers["Link"] = f'<{page_path(following)}>; rel="next"'
    return response


def page_path(after: str | None) -> str:
    """Return the path of this list's page after the cursor `after`, or of its first page, with the query as it is."""
    query = [(name, value) for name, value in request.args.items(multi=True) if name != "after"]
    query += [("after", after)] if after else []
    return f"{request.path}?{urlencode(query)}" if query else request.path
