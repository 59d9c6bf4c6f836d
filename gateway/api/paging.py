"""Paging: the query of a list, and the Link header that leads to its next page (RFC 8288)."""

from typing import Any

from flask import Response, jsonify, request, url_for
from marshmallow import Schema


def read_query(schema: Schema) -> dict[str, Any]:
    """Return the arguments in the URL's query that were given; raise ValidationError."""
    given = {name: value for name, value in request.args.items() if value.strip()}
    loaded: dict[str, Any] = schema.load(given)
    return {name: value for name, value in loaded.items() if value is not None}


def answer_page(answer: Schema, things: list[dict[str, Any]], following: str | None) -> Response:
    """Return the array of `things`, with a Link to the next page when there is one."""
    response = jsonify(answer.dump(things, many=True))
    if following and request.endpoint:
        query = {**request.args.to_dict(), "after": following}
        response.headers["Link"] = f'<{url_for(request.endpoint, _external=True, **query)}>; rel="next"'
    return response
