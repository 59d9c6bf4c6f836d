"""Orders: pay one, follow it to its end, give it back."""

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import login_required

from gateway import checkout, ids
from gateway.api.paging import read_query
from gateway.errors import ERRORS, Refused, describe
from gateway.schemas import PageQuery
from gateway.services import call_as_user
from libs.rpc import RemoteError, ServiceUnavailable

PAGE_ORDERS = 20
MAX_DECLINES = 3
TEST_CARDS = (
    ("tok_visa", "Visa ending in 4242: succeeds"),
    ("tok_mastercard", "Mastercard ending in 4444: succeeds"),
    ("tok_amex", "American Express ending in 0005: succeeds"),
    ("tok_chargeDeclined", "Visa ending in 0002: declined"),
    ("tok_chargeDeclinedInsufficientFunds", "Visa ending in 9995: declined, not enough money"),
    ("tok_chargeDeclinedExpiredCard", "Visa ending in 0069: declined, expired"),
)

bp = Blueprint("orders", __name__)


@bp.get("/my/orders")
@login_required
def mine() -> Any:
    """List one's own orders, newest first."""
    query = read_query(PageQuery(only=["after"]))
    return render_template("orders/mine.html", page=call_as_user("orders.list", limit=PAGE_ORDERS, **query))


@bp.get("/orders/<order_id>")
@login_required
def show(order_id: str) -> Any:
    """Show one's own order: the payment form, the wait, the receipt, or why it was cancelled."""
    order = call_as_user("orders.get", order_id=ids.order(order_id))
    payment = _find_payment(order_id)
    return render_template(
        "orders/show.html",
        order=order,
        payment=payment,
        stage=stage(order, payment, datetime.now(UTC)),
        cards=TEST_CARDS,
        remaining=MAX_DECLINES - (payment["declines"] if payment else 0),
    )


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
    except (RemoteError, Refused) as error:
        _tell(error)
    except ServiceUnavailable:
        flash("We could not reach the bank in time. You will not be charged twice if you try again.", "info")
    return redirect(url_for("orders.show", order_id=order_id), 303)


def stage(order: dict[str, Any], payment: dict[str, Any] | None, now: datetime) -> str:
    """Return what the buyer can do: "pay", or only read that it is "overdue", "confirming", "complete", "cancelled"."""
    if order["status"] in ("complete", "cancelled"):
        return str(order["status"])
    taken = payment and (payment["is_confirming"] or payment["status"] in ("authorized", "captured"))
    if order["status"] == "awaiting_payment" or taken:
        return "confirming"
    return "pay" if datetime.fromisoformat(order["expires_at"]) > now else "overdue"


def _find_payment(order_id: str) -> dict[str, Any] | None:
    """Return the payment if one was begun; None too while payments is away, so that the order can still be read."""
    try:
        payment: dict[str, Any] = call_as_user("payments.get", order_id=order_id)
    except ServiceUnavailable:
        return None
    except RemoteError as error:
        if error.name in ("PaymentNotFound", "OrderNotFound"):
            return None
        raise
    return payment


def _tell(error: RemoteError | Refused) -> None:
    """Say why nothing was done; a declined card is told by the order's page, other failures by the error page."""
    if error.name == "PaymentDeclined":
        return
    if error.name not in ERRORS or ERRORS[error.name].status not in (400, 402, 409):
        raise error
    flash(describe(error)["message"], "error")
