"""Who is signed in: flask-login over Flask's signed cookie, which holds auth's token and nothing else of ours."""

from datetime import timedelta
from typing import Any

from flask import Flask, Request, current_app, g, session
from flask_login import LoginManager, UserMixin, current_user

from gateway.errors import sign_in_first
from gateway.revocations import Revocations, timestamp
from gateway.services import call_as_user
from gateway.settings import Settings
from libs.rpc import RemoteError, ServiceUnavailable
from libs.tokens import Claims, InvalidToken, Verifier

LIFETIME = timedelta(hours=12)  # as long as auth's tokens last


class Viewer(UserMixin):
    """The user who sent this request."""

    def __init__(self, claims: Claims) -> None:
        self.id = claims.subject
        self.email = claims.email
        self.session_id = claims.session_id
        self.expires_at = claims.expires_at


def register(app: Flask, settings: Settings, revocations: Revocations) -> None:
    """Give `app` its session cookie and flask-login's `current_user`."""
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="__Host-session" if settings.tls else "session",
        SESSION_COOKIE_SECURE=settings.tls,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=LIFETIME,
    )
    app.extensions["verifier"] = Verifier(settings.public_keys)
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
    if not claims.is_user or _is_revoked(claims.session_id):
        return None
    return Viewer(claims)


def viewer() -> Viewer | None:
    """Return who is signed in, or None."""
    return current_user if current_user.is_authenticated else None


def begin(signed_in: dict[str, Any]) -> None:
    """Start a session from auth's answer; nothing of the visitor's earlier session survives."""
    session.clear()
    session["token"] = signed_in["token"]
    session.permanent = True


def end() -> None:
    """Revoke the session at auth and forget it here; a session that has already ended is simply forgotten."""
    user = viewer()
    if user is not None:
        try:
            call_as_user("auth.sign_out")
        except RemoteError as error:
            if error.name != "Unauthenticated":
                raise
        current_app.extensions["revocations"].add(user.session_id, timestamp(user.expires_at))
    session.clear()


def _is_revoked(session_id: str) -> bool:
    try:
        return bool(current_app.extensions["revocations"].is_revoked(session_id))
    except ServiceUnavailable:
        g.session_unknown = True  # the error page that follows is shown to nobody in particular
        raise
