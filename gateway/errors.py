"""Errors: one table from an error's name to its status and message, and how JSON and pages show them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from flask import Flask, Response, abort, flash, jsonify, make_response, redirect, render_template, request, url_for
from flask.globals import request_ctx
from flask_login import current_user
from gevent import Timeout
from gunicorn.http.errors import ParseException
from marshmallow import ValidationError
from werkzeug.exceptions import BadRequest, HTTPException, RequestTimeout
from werkzeug.wrappers import Response as AnyResponse

from gateway.fields import to_number
from gateway.languages import N_, gettext
from gateway.logger import ERROR
from gateway.saved_input import save_input
from gateway.schemas import PasswordBody, TicketBody
from gateway.sentences import translated
from libs.contracts.limits import MAXIMUM_KEY
from libs.errors import is_unavailable
from libs.rpc import RemoteError, ServiceUnavailable
from libs.security_events import security_event

RETRY_AFTER_SECONDS = 2
BODY_SECONDS = 10
"""How long a body may take to arrive, so that no client holds a connection by sending it byte by byte."""
UNREADABLE = "gateway.unreadable"
"""In a WSGI environment: the status of a request that gunicorn could not read (gateway/worker.py)."""

log = logging.getLogger(__name__)


class GatewayError(Exception):
    """An error of the gateway itself, with a name from the table below; a RemoteError is a service's."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name
        self.message = ""
        self.details: dict[str, Any] = {}


class ErrorSpec(NamedTuple):
    """How an error is shown. Without a `message` the service's own is used; `field` is the input that it is about.

    `retry_after`: after how many seconds a request that was answered 429 or 503 may be sent again.
    """

    status: int
    message: str | None = None
    field: str | None = None
    retry_after: int = RETRY_AFTER_SECONDS


ERRORS = {
    "InvalidArguments": ErrorSpec(400, "Something in the request is not valid."),
    "InvalidCursor": ErrorSpec(
        400, "This page of the list no longer exists. Start again from the first page.", "after"
    ),
    "InvalidJson": ErrorSpec(400, "The body must be a JSON object."),
    "RepeatedName": ErrorSpec(
        400, "An object in the body has the same name twice, so which value is meant is unknown."
    ),
    "NotANumber": ErrorSpec(400, "NaN and Infinity are not JSON."),
    "NumberTooLong": ErrorSpec(400, "A number in the body has too many digits."),
    "TooDeep": ErrorSpec(400, "The body is nested too deeply."),
    "NotUtf8": ErrorSpec(400, "The body must be UTF-8, without a byte order mark."),
    "InvalidKey": ErrorSpec(
        400, f"The Idempotency-Key must have 1 to {MAXIMUM_KEY} printable ASCII characters, and no spaces."
    ),
    "KeyReused": ErrorSpec(400, "This Idempotency-Key came with something else before. Use a new one each time."),
    "VersionsDiffer": ErrorSpec(400, "The version in the body is not the one in If-Match.", "version"),
    "InvalidEtag": ErrorSpec(400, 'If-Match must be the ETag of one answer, like "3", or *.'),
    "InvalidTicket": ErrorSpec(400),
    "InvalidEmail": ErrorSpec(400),
    "InvalidPassword": ErrorSpec(400),
    "WrongPassword": ErrorSpec(400, "This is not your current password.", "currentPassword"),
    "EmailInUse": ErrorSpec(400, "Email in use", "email"),
    "WrongCredentials": ErrorSpec(400, "Wrong email or password."),
    "SecondFactorNeeded": ErrorSpec(400, None, "code"),
    "WrongCode": ErrorSpec(400, None, "code"),
    "WrongPasskey": ErrorSpec(400),
    "InvalidPasskeyName": ErrorSpec(400),
    "InvalidName": ErrorSpec(400),
    "IncompleteConfirmation": ErrorSpec(400),
    "TookTooLong": ErrorSpec(400),
    "InvalidCard": ErrorSpec(400, "This card cannot be used. Check it or try another one.", "token"),
    "InvalidSignature": ErrorSpec(400),
    "Unauthenticated": ErrorSpec(401, "Sign in to continue."),
    "PaymentDeclined": ErrorSpec(402),
    "PaymentRefused": ErrorSpec(402),
    "AuthenticationRequired": ErrorSpec(402, "Your bank wants you to confirm this payment. You were not charged yet."),
    "Forbidden": ErrorSpec(403, "You are not allowed to do this."),
    "UserLocked": ErrorSpec(403, "Your account is locked. Contact us to have it unlocked."),
    "NotOwner": ErrorSpec(403, "This belongs to somebody else."),
    "OwnTicket": ErrorSpec(403, "This is your own ticket: you cannot buy it."),
    "ForeignOrigin": ErrorSpec(403, "This request came from another site, so nothing was done."),
    "StaleForm": ErrorSpec(403, "This form was too old, so nothing was done. Check it, and send it again."),
    "ConfirmationNeeded": ErrorSpec(403, "Confirm first that it is you."),
    "UserNotFound": ErrorSpec(404, "There is no such user."),
    "SessionNotFound": ErrorSpec(404, "This session has ended already."),
    "EventNotFound": ErrorSpec(404, "There are no tickets for this event, or no longer."),
    "TicketNotFound": ErrorSpec(404, "There is no such ticket."),
    "OrderNotFound": ErrorSpec(404, "There is no such order."),
    "PaymentNotFound": ErrorSpec(404, "There is no such payment."),
    "PasskeyNotFound": ErrorSpec(404, "There is no such passkey. You may have removed it already."),
    "TicketReserved": ErrorSpec(409, "This ticket is reserved. It may be on sale again in a few minutes."),
    "TicketSold": ErrorSpec(409, "This ticket is sold."),
    "TicketWithdrawn": ErrorSpec(409, "This ticket was withdrawn from sale."),
    "TicketStarted": ErrorSpec(409, "The event has already started, so this ticket is no longer for sale."),
    "TicketChanged": ErrorSpec(409, "This ticket has changed since you opened it. Look at it again.", "version"),
    "AlreadyHeld": ErrorSpec(409, "You have reserved or bought this ticket already: see your order."),
    "PriceChanged": ErrorSpec(409, "The price has changed. Look at the new price before you buy.", "version"),
    "OrderComplete": ErrorSpec(409, "This order is paid, so it can no longer be cancelled."),
    "OrderBeingPaid": ErrorSpec(409, "This order is being paid, so it cannot be cancelled now."),
    "NoDeadline": ErrorSpec(409, "This order is being paid or has ended, so it has no deadline any more."),
    "DeadlinePassed": ErrorSpec(409, "The time to pay is over."),
    "TooEarlyToExtend": ErrorSpec(409, "The time to pay can be extended in its last two minutes."),
    "StartsTooSoon": ErrorSpec(409, "The event starts when the time to pay is over, so that time cannot be extended."),
    "PaymentInProgress": ErrorSpec(409, "We are confirming your payment. Do not pay again."),
    "OrderCancelled": ErrorSpec(409, "This order is cancelled. If anything was taken for it, you get it back."),
    "NoAuthenticator": ErrorSpec(409, "You have no authenticator app set up."),
    "AuthenticatorInUse": ErrorSpec(
        409, "Your authenticator app is set up already. Make new recovery codes if you have not saved yours."
    ),
    "TooManyPasskeys": ErrorSpec(409),
    "VersionConflict": ErrorSpec(409, "Somebody else changed this just now. Look at it again."),
    "CompressedBody": ErrorSpec(415, "Send the body as it is, not compressed."),
    "NotAForm": ErrorSpec(415, "A page takes what its form sends, and nothing else."),
    "AuthenticatorUnreadable": ErrorSpec(503, None, "code"),
    "NothingCharged": ErrorSpec(
        503,
        "Your card was not charged: card payments are not possible at the moment. Try again in a few minutes.",
        retry_after=60,
    ),
    "StripeUnavailable": ErrorSpec(
        503,
        "Card payments are not possible at the moment. Try again in a few minutes: you are never charged twice.",
        retry_after=60,
    ),
    "PaymentUnknown": ErrorSpec(
        503, "We are confirming this payment and do not know its outcome yet. Do not pay again; look at the order."
    ),
    "SignUpUnknown": ErrorSpec(
        503, "Your account may have been created. Try to sign in; if that fails, sign up again."
    ),
    "PasswordUnknown": ErrorSpec(
        503, "Your password may have been changed. If you are asked to sign in, try the new one first."
    ),
    "SignOutUnknown": ErrorSpec(
        503, "You may still be signed in: a part of Ticketing is not answering. Sign out again in a moment."
    ),
    "SessionEndUnknown": ErrorSpec(
        503, "That session may not have ended: a part of Ticketing is not answering. End it again in a moment."
    ),
    "TooManyReservations": ErrorSpec(429),
    "TooManyAttempts": ErrorSpec(429, "Too many tries. Wait a little before you try again."),
}

API_FIELDS = {name: field.data_key for body in (TicketBody, PasswordBody) for name, field in body().fields.items()}
"""The names in the API of what services report errors about."""

STATUSES = {
    400: (N_("That did not work"), N_("The request could not be understood.")),
    401: (N_("Sign in"), N_("Sign in to continue.")),
    402: (N_("Payment declined"), N_("Your card was declined. You were not charged.")),
    403: (N_("Not allowed"), N_("You are not allowed to do this.")),
    404: (N_("Not found"), N_("There is no such page. The link may be old or mistyped.")),
    405: (N_("Not possible here"), N_("This page cannot be used that way.")),
    408: (N_("Too slow"), N_("What you sent took too long to arrive, so nothing was done. Please try again.")),
    409: (N_("Not possible now"), N_("Things have changed in the meantime, so this is not possible now.")),
    413: (N_("Too large"), N_("What you sent is too large: the limit is 64 kB for forms, and 1 MB otherwise.")),
    414: (N_("Address too long"), N_("The address of this page is too long. If you searched, use fewer words.")),
    415: (N_("Wrong format"), N_("Send the body as application/json.")),
    417: (N_("Not understood"), N_("What the request expects of this site is not possible.")),
    429: (N_("Too many tries"), N_("Too many tries. Wait a little before you try again.")),
    431: (
        N_("Too much"),
        N_("Your browser sent too many or too large headers. Clear the cookies of this site, and try again."),
    ),
    500: (N_("Something went wrong"), N_("It was our fault, and we have noted it. Please try again.")),
    501: (N_("Not understood"), N_("The body is encoded in a way that this site does not understand.")),
    503: (N_("Back in a moment"), N_("A part of Ticketing is not answering. Please try again in a moment.")),
}


def register(app: Flask) -> None:
    """Make `app` answer every error in JSON under /api and as a page elsewhere, without internals."""
    app.before_request(_refuse)
    app.register_error_handler(RemoteError, _named_error)
    app.register_error_handler(GatewayError, _named_error)
    app.register_error_handler(ValidationError, _invalid)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


UNKNOWN_HOST = "This site has another address."
UNKNOWN_HOST_PAGE = f"<!doctype html><html lang=en><title>Bad request</title><p>{UNKNOWN_HOST}</p></html>"


@contextmanager
def reading_body() -> Iterator[None]:
    """Turn a body that ends early or is badly chunked into 400, and one that takes too long into 408."""
    try:
        with Timeout(BODY_SECONDS, RequestTimeout()):
            yield
    except (OSError, ParseException) as error:
        raise BadRequest from error


def describe(error: RemoteError | GatewayError) -> dict[str, Any]:
    """Return a named error as clients see it: `message`, the `field` that it is about, and its details."""
    spec = ERRORS[error.name]
    problem: dict[str, Any] = {"message": translated(spec.message or error.message)}
    if spec.field:
        problem["field"] = spec.field
    details = error.details or {}
    if error.name == "PriceChanged" and {"price_cents", "currency"} <= details.keys():
        problem |= {"price": to_number(details["price_cents"], details["currency"]), "version": details.get("version")}
    if error.name == "AlreadyHeld":
        problem["orderId"] = details.get("order_id")
    if error.name == "TicketChanged":
        problem["version"] = details.get("version")
    if error.name == "PaymentDeclined":
        problem |= {"declineCode": details.get("decline_code"), "remaining": details.get("remaining")}
    if error.name == "AuthenticationRequired":
        problem["clientSecret"] = details.get("client_secret")
    return problem


def describe_all(error: RemoteError | GatewayError) -> list[dict[str, Any]]:
    """Return a named error as clients see it: a problem for each of the fields that it lists, or one."""
    errors = (error.details or {}).get("errors")
    if not errors:
        return [describe(error)]
    return [
        {"message": translated(each["message"]), "field": API_FIELDS.get(each["field"], each["field"])}
        for each in errors
    ]


def list_problems(error: ValidationError) -> list[dict[str, str]]:
    """Return each field's first error as `{"message", "field"}`."""
    messages: dict[str, Any] = error.normalized_messages()
    return [{"message": translated(_first(problems)), "field": field} for field, problems in messages.items()]


def _first(problems: Any) -> str:
    while not isinstance(problems, str):
        problems = next(iter(problems.values())) if isinstance(problems, dict) else problems[0]
    return problems


def _named_error(error: RemoteError | GatewayError) -> AnyResponse:
    if error.name not in ERRORS:
        return _unexpected(error)
    status = ERRORS[error.name].status
    request.environ[ERROR] = error.name
    if status == 403 and isinstance(error, GatewayError):  # services log what they refuse
        security_event("access_denied", error.name, what=f"{request.method} {request.path}")
    response = _respond(status, describe_all(error))
    response.headers.update(retry_headers(error))
    return response


def retry_headers(error: RemoteError | GatewayError) -> dict[str, str]:
    """Return the Retry-After header, if a later try may succeed."""
    spec = ERRORS[error.name]
    if spec.status not in (429, 503):
        return {}
    return {"Retry-After": str(int((error.details or {}).get("retry_after") or spec.retry_after))}


def _unavailable(error: Exception) -> AnyResponse:
    log.warning("unavailable: %s", error)
    save_input()
    response = _respond(503, [{"message": STATUSES[503][1]}])
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _invalid(error: ValidationError) -> AnyResponse:
    return _respond(400, list_problems(error))


def _http_error(error: HTTPException) -> AnyResponse:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    response = _respond(status, [{"message": STATUSES.get(status, STATUSES[400 if status < 500 else 500])[1]}])
    for name in ("Allow", "Retry-After"):
        value = error.get_response().headers.get(name)
        if value:
            response.headers[name] = value
    return response


def _refuse() -> None:
    """Answer a request that gunicorn could not read."""
    if status := request.environ.get(UNREADABLE):
        abort(status)


def _unexpected(error: Exception) -> AnyResponse:
    if is_unavailable(error):
        return _unavailable(error)
    log.error("unexpected error", exc_info=error)
    return _respond(500, [{"message": STATUSES[500][1]}])


def _respond(status: int, problems: list[dict[str, Any]]) -> AnyResponse:
    is_our_host = request_ctx.url_adapter is not None  # Flask builds no URLs for an untrusted one
    if f"{request.path}/".startswith("/api/"):
        response: Response = jsonify(errors=problems if is_our_host else [{"message": UNKNOWN_HOST}])
        response.status_code = status
        return response
    if status == 401:
        return unauthenticated()
    title, message = STATUSES.get(status, STATUSES[400 if status < 500 else 500])
    text = translated(problems[0]["message"] if problems else message)
    if not is_our_host:
        return make_response(UNKNOWN_HOST_PAGE, status)
    with suppress(ServiceUnavailable):  # the session cannot be checked now: show the page as for a visitor
        bool(current_user.is_authenticated)
    return make_response(render_template("error.html", status=status, title=gettext(title), text=text), status)


def unauthenticated() -> AnyResponse:
    """Redirect the visitor to the sign-in page, and from there back to where they were; answer 401 under /api."""
    if request.path.startswith("/api/"):
        return _respond(401, [{"message": STATUSES[401][1]}])
    save_input()
    return redirect(url_for("account.sign_in", next=current_page()), 303)


def lead_back() -> AnyResponse:
    """Redirect a form that was too old to its page, where everything typed is still there."""
    if not current_user.is_authenticated:
        return unauthenticated()
    save_input()
    flash(translated(ERRORS["StaleForm"].message or ""), "error")
    return redirect(current_page(), 303)


def current_page() -> str:
    """Return the page that the browser shows: for a form's URL without a page of its own, the page above it.

    The page of a form that leads on to another page, its `next`, is asked for with that page. The path is quoted: with
    a backslash or a tab in it, browsers would take it for the address of another site.
    """
    path = quote(request.path)
    if request.method in ("GET", "HEAD"):
        return f"{path}?{request.query_string.decode()}".removesuffix("?")
    has_page = request.url_rule is not None and "GET" in (request.url_rule.methods or ())
    path = path if has_page else path.rpartition("/")[0] or "/"
    form = vars(request).get("form", {})  # only if it was read: the body may be too large, or never end
    following = form.get("next")
    return f"{path}?{urlencode({'next': following})}" if following else path
