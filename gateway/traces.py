"""Traces of requests (`libs.tracing`). Requests about an order continue the trace of its reservation.

So that one trace leads from the first click to the complete order, the session cookie, which we sign, keeps the trace
context of the newest reservation, if that is sampled. A `traceparent` sent by a client is ignored: it would decide what
is sampled, and one that a proxy created looks like one that it passed on.
"""

from contextlib import ExitStack, suppress

from flask import Flask, Response, g, request, session
from werkzeug.exceptions import HTTPException

from gateway.bodies import parse
from gateway.errors import GatewayError, reading_body
from gateway.metrics import METHODS
from libs import tracing
from libs.context import correlation_id

UNTRACED = ("health.", "static")
"""The prefixes of endpoints that are not traced: probes and static files."""
KEPT = "trace"
"""In a session: [order_id, traceparent]."""


def register(app: Flask) -> None:
    """Trace the requests that `app` does not answer from memory; to be registered before hooks that may answer."""
    app.before_request(_begin)
    app.after_request(_answered)
    app.teardown_request(_end)


def keep(order_id: str) -> None:
    """Let later requests about an order that was just reserved continue the trace of this request."""
    if traceparent := tracing.traceparent():
        session[KEPT] = [order_id, traceparent]


def _begin() -> None:
    route, method = request.url_rule, request.method if request.method in METHODS else "_OTHER"
    if (request.endpoint or "").startswith(UNTRACED):
        return
    about = {"http.request.method": method, "ticketing.correlation_id": correlation_id()}
    if route:  # else the path may be arbitrary
        about |= {"http.route": route.rule, "url.path": request.path}
    g.trace = ExitStack()
    g.trace.enter_context(tracing.request_span(f"{method} {route.rule}" if route else method, about, _reserved()))


def _answered(response: Response) -> Response:
    tracing.record_status(response.status_code)
    return response


def _end(_error: BaseException | None) -> None:
    if trace := g.pop("trace", None):
        trace.close()


def _reserved() -> object:
    """Return the traceparent of the reservation of the order that this request changes, or asks Stripe about."""
    order_id, pays = (request.view_args or {}).get("order_id"), request.endpoint == "api_payments.create"
    if not pays and (not order_id or (request.method == "GET" and not _asks_stripe())):
        return None
    kept, traceparent = session.get(KEPT, (None, None))
    if kept and pays:
        order_id = _paid_order()
    return traceparent if kept == order_id else None


def _paid_order() -> object:
    """Return the order that the body of a payment names; a body's errors are left to `check_body`."""
    with suppress(GatewayError, HTTPException), reading_body():
        body = parse(request.get_data())
        return body.get("orderId") if isinstance(body, dict) else None
    return None


def _asks_stripe() -> bool:
    return request.endpoint == "orders.payment_return" or "ask" in request.args
