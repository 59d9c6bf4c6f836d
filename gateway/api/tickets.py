"""Tickets: sell, list, show, change, withdraw."""

from typing import Any

from flask import Blueprint, Response, jsonify
from flask_login import login_required

from gateway import ids
from gateway.api.paging import query_string, read_query, respond_page
from gateway.bodies import read_body, read_key, read_version
from gateway.cache import public
from gateway.errors import GatewayError
from gateway.formats import has_started
from gateway.schemas import MineQuery, TicketBody, TicketEditBody, TicketQuery, TicketResponse
from gateway.services import call_as_user

RESPONSE, BODY, EDIT = TicketResponse(), TicketBody(), TicketEditBody()
QUERY, QUERY_MINE = TicketQuery(), MineQuery()

bp = Blueprint("api_tickets", __name__, url_prefix="/api/tickets")


@bp.post("")
@login_required
def create() -> tuple[Response, int]:
    """Put a ticket on sale; the same Idempotency-Key returns the same ticket again."""
    return _respond(call_as_user("tickets.create", **read_body(BODY), idempotency_key=read_key())), 201


@bp.get("")
def list_all() -> Response:
    """List tickets: those on sale, unless the query selects others."""
    found = public.tickets(read_query(QUERY))
    return public.answer(found, f"api?{query_string()}", lambda: _respond_page(found.value))


@bp.get("/mine")
@login_required
def list_mine() -> Response:
    """List the user's own tickets with their state."""
    page = call_as_user("tickets.list_mine", **read_query(QUERY_MINE))
    return _respond_page(page)


@bp.get("/<ticket_id>")
def get(ticket_id: str) -> Response:
    """Show one ticket."""
    found = public.ticket(ids.ticket(ticket_id))
    return public.answer(found, "api", lambda: _respond(found.value), has_tag=not has_started(found.value))


@bp.put("/<ticket_id>")
@login_required
def update(ticket_id: str) -> Response:
    """Change the user's own ticket, unless it has changed since they saw it."""
    body, matched = read_body(EDIT), read_version()
    version = body.pop("version")
    if None not in (version, matched) and version != matched:
        raise GatewayError("VersionsDiffer")
    return _respond(call_as_user("tickets.update", ticket_id=ids.ticket(ticket_id), version=version or matched, **body))


@bp.delete("/<ticket_id>")
@login_required
def withdraw(ticket_id: str) -> tuple[str, int]:
    """Take the user's own ticket off sale, unless it has changed since they saw it; repeating changes nothing."""
    call_as_user("tickets.withdraw", ticket_id=ids.ticket(ticket_id), version=read_version())
    return "", 204


def _respond_page(page: dict[str, Any]) -> Response:
    return respond_page(RESPONSE, page["tickets"], page["next"])


def _respond(ticket: dict[str, Any]) -> Response:
    response = jsonify(RESPONSE.dump(ticket))
    response.set_etag(str(ticket["version"]))
    return response
