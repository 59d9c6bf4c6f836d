"""Who is signed in: flask-login over Flask's signed cookie, which holds auth's token and nothing else of ours."""

from datetime import timedelta
from typing import Any

from flask import Flask, Request, current_app, g, request, session
from flask_login import LoginManager, UserMixin, current_user

from gateway.errors import GatewayError, sign_in_first
from gateway.revocations import Revocations, timestamp
from gateway.services import call_as_gateway, call_as_user
from gateway.settings import Settings
from libs.rpc import RemoteError, ServiceUnavailable
from libs.tokens import Claims, InvalidToken

LIFETIME = timedelta(hours=12)  # as long as auth's tokens last


class Viewer(UserMixin):
    """The user who sent this request."""

    def __init__(self, claims: Claims) -> None:
        self.id = claims.subject
        self.email = claims.email
        self.session_id = claims.session_id
        self.expires_at = claims.expires_at
        self.generation = claims.generation


def register(app: Flask, settings: Settings, revocations: Revocations) -> None:
    """Give `app` its session cookie and flask-login's `current_user`."""
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.older_secret_keys),
        SESSION_COOKIE_NAME="__Host-session" if settings.tls else "session",
        SESSION_COOKIE_SECURE=settings.tls,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=LIFETIME,
    )
    app.extensions["verifier"] = settings.verifier
    app.extensions["revocations"] = revocations
    logins = LoginManager()
    logins.init_app(app, add_context_processor=False)
    logins.session_protection = None  # binding to the browser's name protects nothing that the token does not
    logins.request_loader(find_viewer)
    logins.unauthorized_handler(sign_in_first)
    app.add_template_global(viewer)


def find_viewer(_request: Request) -> Viewer | None:
    """Return the user of the session's token, or None; raise ServiceUnavailable while nobody can tell."""
    token = session.get("token")
    if token is None or g.get("session_unknown"):
        return None
    try:
        claims = current_app.extensions["verifier"].verify(token)
    except InvalidToken:
        return None
    if not claims.is_user or _is_revoked(claims):
        return None
    return Viewer(claims)


def viewer() -> Viewer | None:
    """Return who is signed in, or None."""
    return current_user if current_user.is_authenticated else None


def enter(method: str, credentials: dict[str, Any]) -> dict[str, Any]:
    """Start a session with `auth.sign_up` or `auth.sign_in`, ending the one that this browser had; return the user.

    auth is told the client's address, by which it counts tries, in the gateway's own name.
    """
    signed_in: dict[str, Any] = call_as_gateway(method, **credentials, address=request.remote_addr or "")
    _revoke()
    _begin(signed_in)
    user: dict[str, Any] = signed_in["user"]
    return user


def end() -> None:
    """Revoke the session at auth and forget it here; a session that has already ended is simply forgotten."""
    _revoke()
    session.clear()


def end_everywhere() -> None:
    """Revoke all sessions of who is signed in."""
    with _revocations().telling_all(_claims().subject):
        call_as_user("auth.sign_out_everywhere")
    _forget_older()
    session.clear()


def change_password(current: str, new: str) -> None:
    """Change the password of who is signed in, which ends all their sessions and begins another here."""
    try:
        with _revocations().telling_all(_claims().subject):
            signed_in = call_as_user("auth.change_password", current=current, new=new)
    except RemoteError as error:
        if error.name == "InvalidPassword":
            raise GatewayError("InvalidNewPassword", error.message) from error
        raise
    _forget_older()
    _begin(signed_in)


def _begin(signed_in: dict[str, Any]) -> None:
    session.clear()
    session["token"] = signed_in["token"]
    session.permanent = True


def _revoke() -> None:
    try:
        claims = _claims()
        with _revocations().telling_all(claims.session_id):
            call_as_user("auth.sign_out")
    except InvalidToken:
        return
    except RemoteError as error:
        if error.name != "Unauthenticated":
            raise
    _revocations().add(claims.session_id, timestamp(claims.expires_at))


def _forget_older() -> None:
    """Know at once, without waiting for auth's event, that the sessions of this user's generation have ended."""
    claims = _claims()
    until = timestamp(claims.expires_at) + LIFETIME.total_seconds()
    _revocations().add_user(claims.subject, claims.generation + 1, until)


def _claims() -> Claims:
    """Return the verified claims of the session in hand; raise InvalidToken."""
    claims: Claims = current_app.extensions["verifier"].verify(session.get("token"))
    return claims


def _revocations() -> Revocations:
    revocations: Revocations = current_app.extensions["revocations"]
    return revocations


def _is_revoked(claims: Claims) -> bool:
    try:
        return _revocations().is_revoked(claims)
    except ServiceUnavailable:
        g.session_unknown = True  # the error page that follows is shown to nobody in particular
        raise
