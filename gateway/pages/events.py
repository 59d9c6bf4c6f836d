"""Events: all tickets of one."""

from typing import Any

from flask import Blueprint, render_template

from gateway import ids
from gateway.api.paging import query_string, read_query
from gateway.cache import public
from gateway.schemas import PageQuery

PAGE_TICKETS = 30
QUERY = PageQuery(only=["after"])

bp = Blueprint("events", __name__)


@bp.get("/events/<event_id>")
def show(event_id: str) -> Any:
    """Show what is on sale of an event, cheapest first, and how many of its tickets are reserved and sold."""
    query = read_query(QUERY, is_form=True)
    found = public.event(ids.event(event_id), query.get("after"), PAGE_TICKETS)
    return public.page(found, query_string(), lambda: render_template("events/show.html", **found.value))
