"""Tickets: sell, list, show, change, withdraw."""

from typing import Any

from flask import Blueprint, Response
from flask_login import login_required

from gateway import ids
from gateway.api.paging import read_query, respond_page
from gateway.bodies import read_body
from gateway.schemas import MineQuery, TicketBody, TicketQuery, TicketResponse
from gateway.services import call_as_user, call_public

RESPONSE, BODY = TicketResponse(), TicketBody()
QUERY, QUERY_MINE = TicketQuery(), MineQuery()

bp = Blueprint("api_tickets", __name__, url_prefix="/api/tickets")


@bp.post("")
@login_required
def create() -> tuple[Any, int]:
    """Put a ticket on sale."""
    return RESPONSE.dump(call_as_user("tickets.create", **read_body(BODY))), 201


@bp.get("")
def list_all() -> Response:
    """List tickets, those on sale unless the query says otherwise."""
    page = call_public("tickets.list", **read_query(QUERY))
    return respond_page(RESPONSE, page["tickets"], page["next"])


@bp.get("/mine")
@login_required
def list_mine() -> Response:
    """List the user's own tickets with their state."""
    page = call_as_user("tickets.list_mine", **read_query(QUERY_MINE))
    return respond_page(RESPONSE, page["tickets"], page["next"])


@bp.get("/<ticket_id>")
def get(ticket_id: str) -> Any:
    """Show one ticket."""
    return RESPONSE.dump(call_public("tickets.get", ticket_id=ids.ticket(ticket_id)))


@bp.put("/<ticket_id>")
@login_required
def update(ticket_id: str) -> Any:
    """Change the user's own ticket."""
    body = read_body(BODY)
    return RESPONSE.dump(call_as_user("tickets.update", ticket_id=ids.ticket(ticket_id), **body))


@bp.delete("/<ticket_id>")
@login_required
def withdraw(ticket_id: str) -> tuple[str, int]:
    """Take the user's own ticket off sale; repeating changes nothing."""
    call_as_user("tickets.withdraw", ticket_id=ids.ticket(ticket_id))
    return "", 204
