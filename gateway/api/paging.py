"""Paging: the query of a list, and the Link header with its next page (RFC 8288)."""

import re
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, jsonify, request
from marshmallow import Schema, ValidationError

from gateway.languages import N_

ONCE = N_("Give this only once.")
TRAIL = re.compile(r"[\w.-]+", re.ASCII)
MOST_ON_TRAIL = 6
"""How many pages one can go back from a page."""


def read_query(schema: Schema, *, is_form: bool = False) -> dict[str, Any]:
    """Return the query parameters that were given; raise ValidationError.

    In the query of a form an empty one counts as not given: a browser sends that for an empty field. A page has the
    cursors of the pages before it in `trail`, with points between them.
    """
    known = _names(schema) | ({"trail"} if is_form and TRAIL.fullmatch(request.args.get("trail", "")) else set())
    given = {name: values for name, values in request.args.lists() if name in known}
    g.query_pairs = [(name, value) for name, values in given.items() for value in values]
    repeated = {name: [ONCE] for name, values in given.items() if len(values) > 1}
    if repeated:
        raise ValidationError(repeated)
    loaded: dict[str, Any] = schema.load(
        {name: value for name, (value,) in given.items() if name != "trail" and (value.strip() or not is_form)}
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
    return filtered_path(after=after)


def next_path(after: str) -> str:
    """Return the path and query of the page after this one, from which there is a way back."""
    query = dict(query_pairs())
    trail = [*_trail(), *([query["after"]] if query.get("after") else [])]
    kept = trail[-MOST_ON_TRAIL:]
    is_cut = len(trail) > MOST_ON_TRAIL and kept[0] != ""
    return filtered_path(after=after, trail=_joined(["", *kept] if is_cut else kept))


def previous_path() -> str | None:
    """Return the path and query of the page before this one; None on the first page, and where it is not known."""
    trail = _trail()
    if not dict(query_pairs()).get("after") or trail[-1:] == [""]:
        return None
    return filtered_path(after=trail[-1], trail=_joined(trail[:-1])) if trail else filtered_path()


def filtered_path(**changes: str | None) -> str:
    """Return the path and query of this list's first page, with other filters; None and empty leave one out."""
    query = [(name, value) for name, value in query_pairs() if name not in ("after", "trail", *changes) and value]
    query += [(name, value) for name, value in changes.items() if value]
    return f"{request.path}?{urlencode(query)}" if query else request.path


def _joined(trail: list[str]) -> str:
    return ".".join(trail) or "." * len(trail)


def _trail() -> list[str]:
    """Return the cursors of the pages before this one; the first is empty if there were more."""
    trail = dict(query_pairs()).get("trail")
    return trail.split(".") if trail else []


def query_pairs() -> list[tuple[str, str]]:
    """Return the parameters of this list's query as they were typed, without unknown ones."""
    found: list[tuple[str, str]] = g.get("query_pairs", [])
    return found


def query_string() -> str:
    """Return `query_pairs` as a query string."""
    return urlencode(query_pairs())
