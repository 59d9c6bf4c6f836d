"""Events: the details that all tickets of one share, and its tickets."""

from typing import Any

from flask import Blueprint, Response, jsonify

from gateway import ids
from gateway.api.paging import query_string, read_query, respond_page
from gateway.cache import public
from gateway.schemas import EventResponse, PageQuery, TicketResponse

RESPONSE, TICKET, QUERY = EventResponse(), TicketResponse(), PageQuery()

bp = Blueprint("api_events", __name__, url_prefix="/api/events")


@bp.get("/<event_id>")
def get(event_id: str) -> Response:
    """Show an event: what it is, and how many tickets it has."""
    found = public.event(ids.event(event_id), None, 1)
    return public.answer(found, "api", lambda: jsonify(RESPONSE.dump(_with_counts(found.value))))


@bp.get("/<event_id>/tickets")
def list_tickets(event_id: str) -> Response:
    """List what is on sale of an event, cheapest first."""
    query = read_query(QUERY)
    found = public.event(ids.event(event_id), query.get("after"), query["limit"])
    return public.answer(
        found, f"api?{query_string()}", lambda: respond_page(TICKET, found.value["tickets"], found.value["next"])
    )


def _with_counts(found: dict[str, Any]) -> dict[str, Any]:
    """Return an event as shown on its page; tickets that have started are not on sale, though still counted so."""
    event, cheapest = found["event"], found["tickets"][:1]
    counts = {name: found["counts"].get(name, 0) for name in ("on_sale", "reserved", "sold")}
    lowest = cheapest[0]["price_cents"] if cheapest else None
    return {**event, **counts, **({} if cheapest else {"on_sale": 0}), "lowest_price_cents": lowest}
