"""Tickets: find, show and reserve one; sell, edit and withdraw one's own."""

import secrets
from functools import lru_cache
from typing import Any

from babel import Locale
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import login_required
from marshmallow import ValidationError

from gateway import holds, ids
from gateway.api.paging import query_string, read_query
from gateway.cache import public
from gateway.errors import ERRORS, GatewayError, describe, list_problems
from gateway.languages import N_, gettext
from gateway.pages.ticket_form import TicketForm
from gateway.price_input import visitor_locale
from gateway.reservations import reserve
from gateway.schemas import MineQuery, OrderBody, TicketQuery
from gateway.services import call_as_user, call_public
from gateway.sessions import viewer
from libs.rpc import RemoteError

PAGE_TICKETS, PAGE_MINE = 24, 12
SEEN, MINE = OrderBody(only=["version"]), MineQuery(only=["after", "status"])
SENT_BEFORE = N_("This form was sent before with something else, which is on sale. Send it again to list this one too.")
bp = Blueprint("tickets", __name__)


@bp.get("/tickets")
def listing() -> Any:
    """List tickets that match the search in the URL."""
    try:
        query, problems = read_query(_query_of(visitor_locale()), is_form=True), {}
    except ValidationError as error:
        problems = {problem["field"]: problem["message"] for problem in list_problems(error)}
        return render_template("tickets/listing.html", page={"tickets": [], "next": None}, problems=problems), 400
    found = public.tickets({**query, "limit": PAGE_TICKETS, "count": True, "by_event": True})
    return public.page(
        found,
        query_string(),
        lambda: render_template("tickets/listing.html", page=found.value, problems=problems),
    )


@bp.get("/tickets/<ticket_id>")
def show(ticket_id: str) -> Any:
    """Show one ticket, and how to buy it or why not."""
    found = public.ticket(ids.ticket(ticket_id))

    def show() -> str:
        order, key = _find_own_order(found.value), secrets.token_urlsafe(16)
        return render_template("tickets/show.html", ticket=found.value, order=order, key=key)

    return public.page(found, "", show)


@bp.post("/tickets/<ticket_id>/buy")
@login_required
def buy(ticket_id: str) -> Any:
    """Reserve the ticket and redirect to the payment page; a second click leads to the same order."""
    seen = SEEN.load({"version": request.form.get("version", type=int)})
    try:
        order = reserve(ids.ticket(ticket_id), seen["version"], _form_key())
    except RemoteError as error:
        if error.name != "AlreadyHeld":
            return _flash_error(error, ticket_id)
        order = {"id": error.details["order_id"]}
    else:
        holds.note(order)
    return redirect(url_for("orders.show", order_id=order["id"]), 303)


@bp.route("/sell", methods=["GET", "POST"])
@login_required
def sell() -> Any:
    """Put a ticket on sale."""
    form = TicketForm()
    if request.method == "POST" and (ticket := form.submit(_list_ticket)):
        flash(gettext("Your ticket is on sale."), "success")
        return redirect(url_for("tickets.show", ticket_id=ticket["id"]), 303)
    if request.method == "POST" or not form.typed.get("key"):
        form.typed["key"] = secrets.token_urlsafe(16)  # the previous one listed nothing, or something else
    return render_template("tickets/form.html", form=form, ticket=None), form.status


@bp.route("/tickets/<ticket_id>/edit", methods=["GET", "POST"])
@login_required
def edit(ticket_id: str) -> Any:
    """Change one's own ticket while nobody has reserved it."""
    ticket = call_public("tickets.get", ticket_id=ids.ticket(ticket_id))
    form = TicketForm(ticket)
    if request.method == "POST":
        version = request.form.get("version", type=int)
        if form.submit(lambda data: call_as_user("tickets.update", ticket_id=ticket_id, version=version, **data)):
            flash(gettext("Your changes are saved."), "success")
            return redirect(url_for("tickets.show", ticket_id=ticket_id), 303)
        if "version" in form.problems:
            form.show_stored(ticket)
    elif ticket["seller_id"] != getattr(viewer(), "id", None):
        raise GatewayError("NotOwner")
    elif ticket["status"] != "on_sale":
        return _flash_error(GatewayError(f"Ticket{ticket['status'].capitalize()}"), ticket_id)
    return render_template("tickets/form.html", form=form, ticket=ticket), form.status


@bp.post("/tickets/<ticket_id>/withdraw")
@login_required
def withdraw(ticket_id: str) -> Any:
    """Take one's own ticket off sale."""
    try:
        call_as_user("tickets.withdraw", ticket_id=ids.ticket(ticket_id))
    except RemoteError as error:
        return _flash_error(error, ticket_id)
    flash(gettext("Your ticket is withdrawn from sale."), "success")
    return redirect(url_for("tickets.show", ticket_id=ticket_id), 303)


@bp.get("/selling")
@login_required
def mine() -> Any:
    """List the user's own tickets, and the amount owed for those sold."""
    query = read_query(MINE, is_form=True)
    page = call_as_user("tickets.list_mine", limit=PAGE_MINE, **query)
    return render_template("tickets/mine.html", page=page, sales=call_as_user("tickets.sales"), shown=query["status"])


@lru_cache(64)
def _query_of(locale: Locale) -> TicketQuery:
    return TicketQuery(locale=locale)


def _list_ticket(data: dict[str, Any]) -> dict[str, Any]:
    """List a ticket once, however often its form is sent."""
    try:
        ticket: dict[str, Any] = call_as_user("tickets.create", idempotency_key=_form_key(), **data)
    except RemoteError as error:
        if error.name == "KeyReused":
            raise ValidationError({"": [SENT_BEFORE]}) from error
        raise
    return ticket


def _form_key() -> str | None:
    return request.form.get("key", "")[:64] or None


def _find_own_order(ticket: dict[str, Any]) -> dict[str, Any] | None:
    """Return the visitor's own live order of a reserved or sold ticket."""
    if viewer() is None or ticket["status"] not in ("reserved", "sold"):
        return None
    held: dict[str, Any] | None = call_as_user("orders.held", ticket_id=ticket["id"])
    return held


def _flash_error(error: RemoteError | GatewayError, ticket_id: str) -> Any:
    """Flash why nothing was done and redirect to the ticket; re-raise errors that the user can do nothing about."""
    if error.name not in ERRORS or ERRORS[error.name].status not in (400, 409, 429):
        raise error
    flash(describe(error)["message"], "error")
    return redirect(url_for("tickets.show", ticket_id=ticket_id), 303)
