"""Common features of Stripe's objects: ids, times, their public form, `expand`, lists."""

import secrets
import string
import time
from collections.abc import Callable, Iterable
from typing import Any

from dev.fake_stripe.errors import invalid
from dev.fake_stripe.state import Document, State

ALPHABET = string.ascii_letters + string.digits
KINDS = {"pi": "payment_intent", "ch": "charge", "pm": "payment_method", "re": "refund", "dp": "dispute"}


def new_id(prefix: str) -> str:
    """Return an id such as `pi_3…`, as long as Stripe's."""
    return f"{prefix}_3" + "".join(ALPHABET[byte % len(ALPHABET)] for byte in secrets.token_bytes(23))


def now() -> int:
    """Return the time as Stripe writes it: whole seconds."""
    return int(time.time())


def visible(document: Any) -> Any:
    """Return the object without the fake's own fields (names that begin with an underscore)."""
    if isinstance(document, dict):
        return {k: visible(v) for k, v in document.items() if not k.startswith("_")}
    return [visible(v) for v in document] if isinstance(document, list) else document


def merge_metadata(metadata: dict[str, str], changes: Any) -> dict[str, str]:
    """Return metadata after an update: an empty value removes its key, an empty string removes all."""
    if changes == "":
        return {}
    return {k: v for k, v in {**metadata, **(changes or {})}.items() if v != ""}


def expand(state: State, document: Document, paths: list[str]) -> Document:
    """Return the object with the ids at these dotted paths replaced by the objects; refuse a path to none."""
    for path in paths:
        _expand(state, document, path.split("."), path)
    return document


def _expand(state: State, document: Any, steps: list[str], path: str) -> None:
    if isinstance(document, list):
        for one in document:
            _expand(state, one, steps, path)
        return
    name, rest = steps[0], steps[1:]
    if not isinstance(document, dict) or (
        name not in document and (document.get("object"), name) != ("charge", "refunds")
    ):
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    if name not in document:
        document[name] = listing(
            list(state.newest("refund", parent=document["id"])), f"/v1/charges/{document['id']}/refunds"
        )
    elif isinstance(document[name], str):
        document[name] = _referred(state, document[name], path)
    if rest and document[name] is not None:
        _expand(state, document[name], rest, path)


def _referred(state: State, id: str, path: str) -> Document:
    found = state.find(KINDS.get(id.split("_")[0], ""), id)
    if found is None:
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    return found


def listing(data: list[Document], url: str, has_more: bool = False) -> Document:
    """Return Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def list_page(
    state: State,
    kind: str,
    params: Document,
    url: str,
    parent: str | None = None,
    keep: Callable[[Document], bool] = lambda document: True,
    where: str = "1",
    values: tuple[Any, ...] = (),
) -> Document:
    """Return one page of a kind, newest first, by Stripe's `limit`, `starting_after`, `ending_before` and `created`."""
    limit = _limit(params)
    bounds, bound_values = _bounds(state, params)
    found = state.newest(kind, parent, f"{where} and {bounds}", values + bound_values)
    matches = (one for one in found if keep(one))
    if "ending_before" in params:
        page = list(matches)[-(limit + 1) :]
        return listing(page[-limit:], url, len(page) > limit)
    page = _take(matches, limit + 1)
    return listing(page[:limit], url, len(page) > limit)


def _limit(params: Document) -> int:
    limit = int(params.get("limit", 10))
    if not 1 <= limit <= 100:
        raise invalid(f"Invalid integer: limit must be between 1 and 100, not {limit}.", param="limit")
    return limit


def _take(matches: Iterable[Document], count: int) -> list[Document]:
    return [found for found, _ in zip(matches, range(count), strict=False)]


def _bounds(state: State, params: Document) -> tuple[str, tuple[Any, ...]]:
    conditions, values = ["1"], []
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        if name in params:
            position = state.position(params[name])
            if position is None:
                raise invalid(f"No such object: '{params[name]}'", param=name, code="resource_missing")
            conditions.append(f"seq {sign} ?")
            values.append(position)
    created = params.get("created", {})
    for name, sign in (("gt", ">"), ("gte", ">="), ("lt", "<"), ("lte", "<=")):
        if isinstance(created, dict) and name in created:
            conditions.append(f"created {sign} ?")
            values.append(created[name])
    if isinstance(created, int):
        conditions.append("created = ?")
        values.append(created)
    return " and ".join(conditions), tuple(values)
