"""Orders: list, show, pay and cancel one's own."""

import secrets
from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_login import login_required

from gateway import checkout, holds, ids
from gateway.api.paging import read_query
from gateway.calendar_file import calendar_file
from gateway.errors import ERRORS, GatewayError, describe
from gateway.formats import has_started
from gateway.languages import N_, gettext
from gateway.pages.crawlers import public
from gateway.progress import Progress, get_progress, refresh_from_stripe
from gateway.schemas import PageQuery
from gateway.services import call_as_user, call_public
from libs.rpc import RemoteError, ServiceUnavailable

PAGE_ORDERS = 20
QUERY = PageQuery(only=["after"])
TEST_CARDS = (
    ("tok_visa", N_("Visa ending in 4242: succeeds")),
    ("tok_mastercard", N_("Mastercard ending in 4444: succeeds")),
    ("tok_amex", N_("American Express ending in 0005: succeeds")),
    ("tok_threeDSecure2Required", N_("Visa ending in 3220: asks for 3-D Secure")),
    ("tok_threeDSecureRequiredChargeDeclined", N_("Visa ending in 1629: asks for 3-D Secure, then declined")),
    ("tok_chargeDeclined", N_("Visa ending in 0002: declined")),
    ("tok_chargeDeclinedInsufficientFunds", N_("Visa ending in 9995: declined, not enough money")),
    ("tok_chargeDeclinedExpiredCard", N_("Visa ending in 0069: declined, expired")),
)

bp = Blueprint("orders", __name__)


@bp.get("/my/tickets")
@login_required
def mine() -> Any:
    """List the user's orders, newest first: those bought or reserved, or with `?cancelled` the cancelled ones."""
    query, cancelled = read_query(QUERY, is_form=True), "cancelled" in request.args
    page = call_as_user("orders.list", limit=PAGE_ORDERS, cancelled=cancelled, **query)
    holds.note(*page["orders"])
    return render_template("orders/mine.html", page=page, cancelled=cancelled)


@bp.get("/my/orders")
def orders_before() -> Any:
    """Redirect the list's former address."""
    return redirect(url_for("orders.mine", after=request.args.get("after")), 301)


@bp.get("/orders/<order_id>")
@login_required
def show(order_id: str) -> Any:
    """Show one's own order: the payment form, the wait, the receipt, or why it was cancelled."""
    return _render(get_progress(ids.order(order_id)))


@bp.get("/orders/<order_id>/return")
@login_required
def payment_return(order_id: str) -> Any:
    """Refresh the payment from Stripe, then show the order, or "confirming" until the outcome is known."""
    if request.args:  # Stripe adds the PaymentIntent's secret, which must not stay in the browser's history
        return redirect(url_for("orders.payment_return", order_id=ids.order(order_id)), 303)
    progress = refresh_from_stripe(ids.order(order_id))
    if progress.stage == "confirming":
        return _render(progress)
    if progress.stage == "pay" and not progress.declines and not (progress.payment or {}).get("is_challenged"):
        flash(gettext("You were not charged. You can pay now, with this card or another one."), "info")
    return redirect(url_for("orders.show", order_id=order_id), 303)


@bp.get("/orders/<order_id>/progress")
@login_required
def progress(order_id: str) -> Any:
    """Return the progress to the page's script; with `?ask` refreshed from Stripe, which `answered` an attempt."""
    order_id, answered = ids.order(order_id), request.args.get("answered", type=int)
    progress = refresh_from_stripe(order_id, answered) if "ask" in request.args else get_progress(order_id)
    shown = {name: getattr(progress, name) for name in ("stage", "declines", "problem")}
    return {**shown, "expiresAt": progress.order["expires_at"]}


@bp.get("/orders/<order_id>/ticket.ics")
@login_required
def calendar(order_id: str) -> Response:
    """Return the event of a ticket that the user bought, for a calendar; 404 without a date or after a full refund."""
    order = call_as_user("orders.get", order_id=ids.order(order_id))
    if order["status"] != "complete" or order["refunded_at"] or not order["ticket"]["starts_at"]:
        abort(404)
    text = calendar_file(order, public(url_for("orders.show", order_id=order_id)))
    named = {"Content-Disposition": "inline; filename=ticket.ics"}  # an iPhone would only save an attachment as a file
    return Response(text, mimetype="text/calendar", headers=named)


@bp.post("/orders/<order_id>/attempt")
@login_required
def attempt(order_id: str) -> Any:
    """Record that the page's script is about to confirm a payment with Stripe."""
    return {"attempt": checkout.announce_attempt(ids.order(order_id))}


@bp.post("/orders/<order_id>/extend")
@login_required
def extend(order_id: str) -> Any:
    """Extend the time to pay, once."""
    try:
        call_as_user("orders.extend", order_id=ids.order(order_id))
        flash(gettext("You have five more minutes to pay."), "success")
    except RemoteError as error:
        _flash_error(error)
    return redirect(url_for("orders.show", order_id=order_id), 303)


@bp.post("/orders/<order_id>/cancel")
@login_required
def cancel(order_id: str) -> Any:
    """Cancel one's own order."""
    try:
        call_as_user("orders.cancel", order_id=ids.order(order_id))
    except RemoteError as error:
        _flash_error(error)
    return redirect(url_for("orders.show", order_id=order_id), 303)


@bp.post("/orders/<order_id>/pay")
@login_required
def pay(order_id: str) -> Any:
    """Pay, then show the order; the outcome is shown there and survives a reload."""
    try:
        checkout.pay(ids.order(order_id), request.form.get("token", ""))
    except (RemoteError, GatewayError) as error:
        if error.name == "PaymentUnknown":
            return redirect(url_for("orders.payment_return", order_id=order_id), 303)
        if error.name == "AuthenticationRequired":
            return redirect(url_for("orders.show", order_id=order_id, challenge=1), 303)
        if error.name == "OrderCancelled":  # its page shows that, and what became of the money
            return redirect(url_for("orders.show", order_id=order_id), 303)
        if error.name != "PaymentDeclined" or not get_progress(order_id).mentions(describe(error)["declineCode"]):
            _flash_error(error)
    return redirect(url_for("orders.show", order_id=order_id), 303)


def _render(progress: Progress) -> str:
    holds.note(progress.order)
    ticket = _cancelled_ticket(progress)
    return render_template(
        "orders/show.html",
        progress=progress,
        order=progress.order,
        payment=progress.payment,
        stage=progress.stage,
        cards=TEST_CARDS,
        ticket=ticket,
        is_free=ticket is not None and _is_on_sale_again(ticket, progress.order),
        key=secrets.token_urlsafe(16),
    )


def _cancelled_ticket(progress: Progress) -> dict[str, Any] | None:
    """Return the ticket of a cancelled order as it is now, or None while tickets does not answer."""
    if progress.stage != "cancelled":
        return None
    try:
        ticket: dict[str, Any] = call_public("tickets.get", ticket_id=progress.order["ticket"]["id"])
    except (RemoteError, ServiceUnavailable):
        return None
    return ticket


def _is_on_sale_again(ticket: dict[str, Any], order: dict[str, Any]) -> bool:
    # reserved until the deadline of this order: tickets is about to receive its end
    is_free = ticket["status"] == "on_sale" or ticket["reserved_until"] == order["expires_at"]
    return is_free and not ticket["withdrawn"] and not has_started(ticket)


def _flash_error(error: RemoteError | GatewayError) -> None:
    """Flash why nothing was done; re-raise, for the error page, errors that the user can do nothing about."""
    if error.name not in ERRORS or ERRORS[error.name].status not in (400, 402, 409, 503):
        raise error
    flash(describe(error)["message"], "error")
