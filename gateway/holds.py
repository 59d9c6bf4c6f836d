"""The tickets that a visitor has reserved and not paid yet: every page reminds them of the one that lapses first.

The session cookie has the orders to look at, so that visitors without holds cost no call. It is updated when the
visitor reserves, signs in, or looks at an order or at their list; so reservations made elsewhere appear late.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from flask import g, session

from gateway.services import call_as_user
from gateway.sessions import viewer
from libs.rpc import RemoteError, ServiceUnavailable

MOST = 5
"""How many orders the cookie has room for; visitors with more are reminded of these."""
LOOK_SECONDS = 1.0
"""How long a page waits for the reminder."""


def note(*orders: dict[str, Any]) -> None:
    """Remember which of the visitor's orders wait for payment, and forget those that do not."""
    before = session.get("holds", {})
    after = {ident: until for ident, until in before.items() if ident not in {order["id"] for order in orders}}
    after |= {order["id"]: order["expires_at"] for order in orders if order["status"] == "created"}
    kept = dict(sorted(after.items(), key=lambda hold: hold[1])[:MOST])
    if kept != before:
        session["holds"] = kept


def note_all() -> None:
    """Remember the holds of the user who has just signed in; skipped if orders does not answer."""
    with suppress(RemoteError, ServiceUnavailable):
        note(*call_as_user("orders.list", timeout=LOOK_SECONDS, limit=MOST, cancelled=False)["orders"])


def held() -> dict[str, Any] | None:
    """Return the visitor's unpaid order that ends first; None if there is none, or orders does not answer."""
    if "held" not in g:
        g.held = _look()
    found: dict[str, Any] | None = g.held
    return found


def _look() -> dict[str, Any] | None:
    now = datetime.now(UTC)
    if not session.get("holds") or viewer() is None:
        return None
    for ident, until in session["holds"].items():
        if datetime.fromisoformat(until) <= now:
            continue
        try:
            order: dict[str, Any] = call_as_user("orders.get", timeout=LOOK_SECONDS, order_id=ident)
        except (RemoteError, ServiceUnavailable):
            return None
        if order["status"] == "created" and datetime.fromisoformat(order["expires_at"]) > now:
            return order
        note(order)
    return None
