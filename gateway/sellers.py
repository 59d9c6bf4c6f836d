"""The public profiles of sellers: the name that they chose, since when they are members, how much they have sold.

Each process keeps it for SELLER_SECONDS, and a page that shows it no longer than that: so it is a minute old at most.
Sellers see their own at once. While auth or tickets does not answer, pages omit them.
"""

import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from flask import Flask, current_app

from gateway.cache.public import SELLER_SECONDS
from gateway.errors import GatewayError
from gateway.services import call_as_gateway, call_public
from libs.bounded import BoundedDict
from libs.rpc import RemoteError, ServiceUnavailable

MOST = 5000
MOST_ASKED = 100
ASK_SECONDS = 2.0
AGAIN_SECONDS = 5.0
"""How long pages omit sellers after a call without an answer, so that not each page waits for one."""


class Seller(NamedTuple):
    """A seller; unknown fields are None, and so is `sold` of a user who has never listed a ticket."""

    name: str | None = None
    member_since: str | None = None
    sold: int | None = None


class Known(BoundedDict[str, tuple[float, Seller]]):
    """This process's cache of sellers by their ids, with expiry times; others are read again from `again_at` on."""

    again_at = 0.0


def register(app: Flask) -> None:
    """Give the templates of `app` the sellers of tickets."""
    app.extensions["sellers"] = Known(MOST)
    app.add_template_global(sellers_of)
    app.add_template_global(seller_of)


def sellers_of(tickets: Sequence[dict[str, Any]]) -> dict[str, Seller]:
    """Return the sellers of some tickets by their ids."""
    known: Known = current_app.extensions["sellers"]
    now, ids = time.monotonic(), {ticket["seller_id"] for ticket in tickets}
    fresh = {ident: known[ident][1] for ident in ids if ident in known and known[ident][0] > now}
    read = _read(known, ids - fresh.keys())
    for ident, seller in read.items():
        known[ident] = now + SELLER_SECONDS, seller
    return {ident: fresh.get(ident) or read.get(ident) or Seller() for ident in ids}


def find(ident: str) -> Seller:
    """Return a seller; raise UserNotFound for a user who never listed a ticket, RemoteError or ServiceUnavailable."""
    known: Known = current_app.extensions["sellers"]
    until, seller = known.get(ident, (0.0, Seller()))
    if until > time.monotonic() and seller.sold is not None:
        return seller
    found = _ask([ident])
    if ident not in found or found[ident].sold is None:
        raise GatewayError("UserNotFound")
    known[ident] = time.monotonic() + SELLER_SECONDS, found[ident]
    return found[ident]


def seller_of(ticket: dict[str, Any], *, now: bool = False) -> Seller:
    """Return the seller of a ticket; `now`: past the cache, for sellers who may just have changed their own profile."""
    if now:
        forget(ticket["seller_id"])
    return sellers_of([ticket])[ticket["seller_id"]]


def forget(seller_id: str) -> None:
    """Remove a seller, who has changed, from the cache."""
    current_app.extensions["sellers"].pop(seller_id, None)


def _read(known: Known, ids: Collection[str]) -> dict[str, Seller]:
    if not ids or time.monotonic() < known.again_at:
        return {}
    try:
        return _ask(sorted(ids)[:MOST_ASKED])
    except RemoteError:
        return {}
    except ServiceUnavailable:
        known.again_at = time.monotonic() + AGAIN_SECONDS
        return {}


def _ask(ids: list[str]) -> dict[str, Seller]:
    profiles = call_as_gateway("auth.profiles", timeout=ASK_SECONDS, ids=ids)
    sold = {each["id"]: each["sold"] for each in call_public("tickets.sellers", timeout=ASK_SECONDS, ids=ids)}
    return {each["id"]: Seller(each["name"], each["member_since"], sold.get(each["id"])) for each in profiles}
