"""Orders: reserve a ticket, list, show, cancel."""

from typing import Any

from flask import Blueprint, Response
from flask_login import login_required

from gateway import ids
from gateway.api.paging import read_query, respond_page
from gateway.bodies import read_body, read_key
from gateway.reservations import reserve
from gateway.schemas import OrderBody, OrderResponse, PageQuery
from gateway.services import call_as_user

RESPONSE, BODY, QUERY = OrderResponse(), OrderBody(), PageQuery()

bp = Blueprint("api_orders", __name__, url_prefix="/api/orders")


@bp.post("")
@login_required
def create() -> tuple[Any, int]:
    """Reserve a ticket; the same Idempotency-Key returns the same order again."""
    body = read_body(BODY)
    key = read_key()
    return RESPONSE.dump(reserve(ids.ticket(body["ticket_id"]), body["version"], key)), 201


@bp.get("")
@login_required
def list_mine() -> Response:
    """List the user's own orders, newest first."""
    page = call_as_user("orders.list", **read_query(QUERY))
    return respond_page(RESPONSE, page["orders"], page["next"])


@bp.get("/<order_id>")
@login_required
def get(order_id: str) -> Any:
    """Show one of the user's own orders."""
    return RESPONSE.dump(call_as_user("orders.get", order_id=ids.order(order_id)))


@bp.post("/<order_id>/extend")
@login_required
def extend(order_id: str) -> Any:
    """Extend the time to pay an order, once; repeating changes nothing."""
    return RESPONSE.dump(call_as_user("orders.extend", order_id=ids.order(order_id)))


@bp.delete("/<order_id>")
@login_required
def cancel(order_id: str) -> tuple[str, int]:
    """Cancel an unpaid order; repeating changes nothing."""
    call_as_user("orders.cancel", order_id=ids.order(order_id))
    return "", 204
