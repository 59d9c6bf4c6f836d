"""Orders: pay one, follow it to its end, give it back."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import login_required

from gateway import checkout, ids
from gateway.api.paging import read_query
from gateway.errors import ERRORS, GatewayError, describe
from gateway.progress import Progress, look, look_at_stripe
from gateway.schemas import PageQuery
from gateway.services import call_as_user
from libs.rpc import RemoteError

PAGE_ORDERS = 20
TEST_CARDS = (
    ("tok_visa", "Visa ending in 4242: succeeds"),
    ("tok_mastercard", "Mastercard ending in 4444: succeeds"),
    ("tok_amex", "American Express ending in 0005: succeeds"),
    ("tok_threeDSecure2Required", "Visa ending in 3220: asks for 3-D Secure"),
    ("tok_threeDSecureRequiredChargeDeclined", "Visa ending in 1629: asks for 3-D Secure, then declined"),
    ("tok_chargeDeclined", "Visa ending in 0002: declined"),
    ("tok_chargeDeclinedInsufficientFunds", "Visa ending in 9995: declined, not enough money"),
    ("tok_chargeDeclinedExpiredCard", "Visa ending in 0069: declined, expired"),
)

bp = Blueprint("orders", __name__)


@bp.get("/my/orders")
@login_required
def mine() -> Any:
    """List one's own orders, newest first."""
    query = read_query(PageQuery(only=["after"]), is_form=True)
    return render_template("orders/mine.html", page=call_as_user("orders.list", limit=PAGE_ORDERS, **query))


@bp.get("/orders/<order_id>")
@login_required
def show(order_id: str) -> Any:
    """Show one's own order: the payment form, the wait, the receipt, or why it was cancelled."""
    return _page(look(ids.order(order_id)))


@bp.get("/orders/<order_id>/return")
@login_required
def come_back(order_id: str) -> Any:
    """Ask Stripe what became of the payment, then show the order; while nobody can tell, say so and ask again."""
    if request.args:  # Stripe adds the PaymentIntent's secret, which is nothing for the browser's history
        return redirect(url_for("orders.come_back", order_id=ids.order(order_id)), 303)
    progress = look_at_stripe(ids.order(order_id))
    if progress.stage == "confirming":
        return _page(progress)
    if progress.stage == "pay" and not progress.declines and not (progress.payment or {}).get("is_challenged"):
        flash("You were not charged. You can pay now, with this card or another one.", "info")
    return redirect(url_for("orders.show", order_id=order_id), 303)


@bp.get("/orders/<order_id>/progress")
@login_required
def progress(order_id: str) -> Any:
    """Tell the page's script how far the order is; with `?ask`, after asking Stripe, which `answered` an attempt."""
    order_id, answered = ids.order(order_id), request.args.get("answered", type=int)
    progress = look_at_stripe(order_id, answered) if "ask" in request.args else look(order_id)
    return {"stage": progress.stage, "declines": progress.declines, "problem": progress.problem}


@bp.post("/orders/<order_id>/attempt")
@login_required
def attempt(order_id: str) -> Any:
    """Hear from the page's script that it is about to let Stripe charge a card."""
    return {"attempt": checkout.announce(ids.order(order_id))}


@bp.post("/orders/<order_id>/cancel")
@login_required
def cancel(order_id: str) -> Any:
    """Give the ticket back."""
    try:
        call_as_user("orders.cancel", order_id=ids.order(order_id))
    except RemoteError as error:
        _tell(error)
    return redirect(url_for("orders.show", order_id=order_id), 303)


@bp.post("/orders/<order_id>/pay")
@login_required
def pay(order_id: str) -> Any:
    """Pay, then show the order as it is; what became of the payment is told there and survives a reload."""
    try:
        checkout.pay(ids.order(order_id), request.form.get("token", ""))
    except (RemoteError, GatewayError) as error:
        if error.name == "PaymentUnknown":
            return redirect(url_for("orders.come_back", order_id=order_id), 303)
        if error.name == "AuthenticationRequired":
            return redirect(url_for("orders.show", order_id=order_id, challenge=1), 303)
        if error.name != "PaymentDeclined" or not look(order_id).tells(describe(error)["declineCode"]):
            _tell(error)
    return redirect(url_for("orders.show", order_id=order_id), 303)


def _page(progress: Progress) -> str:
    return render_template(
        "orders/show.html",
        progress=progress,
        order=progress.order,
        payment=progress.payment,
        stage=progress.stage,
        cards=TEST_CARDS,
    )


def _tell(error: RemoteError | GatewayError) -> None:
    """Say why nothing was done; what no user can do anything about is told by the error page."""
    if error.name not in ERRORS or ERRORS[error.name].status not in (400, 402, 409, 503):
        raise error
    flash(describe(error)["message"], "error")
