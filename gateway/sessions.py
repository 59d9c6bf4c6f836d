"""Sessions: flask-login over Flask's signed cookie, which holds auth's token, a CSRF token, flashed messages, input
typed before signing in again and the trace context of a reservation that is traced."""

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Request, Response, current_app, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_login import LoginManager, UserMixin, current_user
from itsdangerous import BadSignature, URLSafeTimedSerializer

from gateway import ids
from gateway.devices import device_name
from gateway.errors import GatewayError, unauthenticated
from gateway.services import call_as_gateway, call_as_user
from gateway.session_uses import QUIET_SECONDS, SessionUses
from gateway.settings import Settings
from libs.revocations import Revocations, await_effect
from libs.rpc import RemoteError, ServiceUnavailable
from libs.tokens import Claims, InvalidToken, subject_of

LIFETIME = timedelta(hours=12)  # as long as auth's tokens last
IDLE_SECONDS = 60 * 60
"""How long a session lasts without use, as NIST SP 800-63B requires for two factors."""
USE_NOTED_SECONDS = 5 * 60
"""How often a cookie is sent again, to say that the session is used."""
LARGEST_COOKIE = 3800  # bytes; browsers drop a cookie of more than 4096, name and attributes included

log = logging.getLogger(__name__)


class Unconfirmed(Exception):
    """The user has to confirm their identity first."""


class CookieSessions(SecureCookieSessionInterface):
    """Flask's sessions, except that publicly cacheable responses depend on no cookie and set none.

    A cookie's own date is not read: a gateway whose clock is ahead may have set it just now. What has to expire has its
    own date: the token and its last use (`load_viewer`), and whatever auth has sealed.
    """

    digest_method = staticmethod(hashlib.sha1)
    """The one that Flask uses, but without its wrapper, for which `hmac` would compute in Python."""

    def __init__(self, app: Flask) -> None:
        serializer = super().get_signing_serializer(app)
        assert serializer is not None, "there is a secret key"
        self._serializer = serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        """Return the session in the cookie, an empty one without a valid cookie."""
        cookie = request.cookies.get(self.get_cookie_name(app))
        if not cookie:
            return self.session_class()
        try:
            return self.session_class(self._serializer.loads(cookie))
        except BadSignature:
            return self.session_class()

    def get_signing_serializer(self, _app: Flask) -> URLSafeTimedSerializer | None:
        """Return the serializer that signs cookies, which was made only once."""
        return self._serializer

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep a changed session in its cookie, with as much of the typed input as fits, the newest first."""
        if not session.modified or response.cache_control.public:
            return
        if "typed" in session:
            self._make_room(session)
        super().save_session(app, session, response)

    def _make_room(self, session: SessionMixin) -> None:
        typed = session["typed"]
        while typed and len(self._serializer.dumps(dict(session))) > LARGEST_COOKIE:
            del typed[next(iter(typed))]
        if not typed:
            del session["typed"]


class Logins(LoginManager):
    """flask-login without its session protection: binding a session to the User-Agent adds nothing to the token."""

    def _session_protection_failed(self) -> bool:
        return False  # with protection switched off, flask-login hashes the User-Agent all the same


class Viewer(UserMixin):
    """The user of this request."""

    def __init__(self, claims: Claims) -> None:
        self.id = claims.subject
        self.email = claims.email
        self.session_id = claims.session_id
        self.issued_at = claims.issued_at
        self.expires_at = claims.expires_at
        self.generation = claims.generation


def register(app: Flask, settings: Settings, revocations: Revocations, uses: SessionUses) -> None:
    """Give `app` its session cookie and flask-login's `current_user`."""
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.older_secret_keys),
        SESSION_COOKIE_NAME=f"{'__Host-' if settings.tls else ''}ticketing-session",
        SESSION_COOKIE_SECURE=settings.tls,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=LIFETIME,
    )
    app.session_interface = CookieSessions(app)
    app.extensions["verifier"] = settings.verifier
    app.extensions["revocations"] = revocations
    app.extensions["session_uses"] = uses
    logins = Logins()
    logins.init_app(app, add_context_processor=False)
    logins.request_loader(load_viewer)
    logins.unauthorized_handler(unauthenticated)
    app.add_template_global(viewer)


def load_viewer(_request: Request) -> Viewer | None:
    """Return the user of the session's token, or None; raise ServiceUnavailable when it cannot be checked."""
    token = session.get("token")
    if token is None or g.get("session_unknown"):
        return None
    try:
        claims = current_app.extensions["verifier"].verify(token)
    except InvalidToken:
        return None
    if not claims.is_user or _is_idle() or _is_revoked(claims):
        return None
    _note_use(claims)
    return Viewer(claims)


def _is_idle() -> bool:
    """Return whether the session has timed out; if not, note its use in the cookie now and then.

    An older copy of the cookie cannot extend the session. A cookie of an earlier version has no time of use. A time in
    the future, from a gateway whose clock was ahead, counts like one as long ago: it adds an hour at most.
    """
    now = int(time.time())
    quiet = abs(now - session.get("used_at", now - USE_NOTED_SECONDS))
    if USE_NOTED_SECONDS <= quiet < IDLE_SECONDS:
        session["used_at"] = now
    return bool(quiet >= IDLE_SECONDS)


def viewer() -> Viewer | None:
    """Return who is signed in, or None."""
    return current_user if current_user.is_authenticated else None


def sign_in(method: str, credentials: dict[str, Any]) -> dict[str, Any]:
    """Start a session with `auth.sign_up` or `auth.sign_in`, ending this browser's earlier one; return the user.

    The call is the gateway's, not the user's: it passes on the client's address, by which auth limits tries.
    """
    signed_in: dict[str, Any] = call_as_gateway(method, **credentials, address=request.remote_addr or "")
    _revoke()
    _start(signed_in)
    user: dict[str, Any] = signed_in["user"]
    return user


def sign_up(credentials: dict[str, Any]) -> dict[str, Any]:
    """Create a user and start a session; return the user.

    Raises GatewayError SignUpUnknown when auth does not answer: the account may have been created, and signing up
    again is refused then.
    """
    with _calling_unavailable("SignUpUnknown"):
        return sign_in("auth.sign_up", credentials)


def sign_in_or_ask(credentials: dict[str, Any]) -> dict[str, Any] | None:
    """Sign in with a password; return None when a code is needed too, for `sign_in_with_code`."""
    try:
        return sign_in("auth.sign_in", credentials)
    except RemoteError as error:
        if error.name != "SecondFactorNeeded":
            raise
        session["pending"] = (error.details or {})["pending"]
        return None


def sign_in_with_code(code: str) -> dict[str, Any]:
    """Finish the sign-in that waits for a code."""
    return sign_in("auth.sign_in_with_code", {"pending": session.get("pending", ""), "code": code})


def sign_in_with_passkey(answer: str) -> dict[str, Any]:
    """Start a session for the user whose passkey gave this answer to `request_passkey`."""
    return sign_in("auth.sign_in_with_passkey", {"ceremony": session.pop("ceremony", ""), "answer": answer})


def request_passkey() -> dict[str, Any]:
    """Return what the browser needs to answer with a passkey, as its WebAuthn API wants it in JSON."""
    return _begin_ceremony(call_as_gateway("auth.request_passkey"))


def new_passkey() -> dict[str, Any]:
    """Return what the browser needs to make a passkey for the current user."""
    return _begin_ceremony(call_confirmed("auth.new_passkey"))


def add_passkey(answer: str, name: str) -> None:
    """Let the current user sign in with the passkey that the browser made."""
    call_confirmed("auth.add_passkey", ceremony=session.pop("ceremony", ""), answer=answer, name=name)


def confirm(**how: Any) -> None:
    """Confirm the current user's identity by a passkey's answer, or by the password, and a code if they have an app."""
    if "answer" in how:
        how["ceremony"] = session.pop("ceremony", "")
    session["proof"] = call_as_user("auth.confirm", **how)["proof"]


def account_security() -> dict[str, Any]:
    """Return how the current user signs in, as `auth.account_security` does."""
    found: dict[str, Any] = call_as_user("auth.account_security", proof=session.get("proof"))
    return found


def turn_on_authenticator(setup: str, code: str) -> list[str]:
    """Require codes of an app for the current user's sign-ins; return the recovery codes.

    Earlier confirmations are no longer valid; the set-up itself is one.
    """
    found = call_confirmed("auth.turn_on_authenticator", setup=setup, code=code)
    session["proof"] = found["proof"]
    codes: list[str] = found["recovery_codes"]
    return codes


def call_confirmed(method: str, **arguments: Any) -> Any:
    """Call as the current user, with the proof from `confirm`; raise Unconfirmed if a new one is needed."""
    try:
        return call_as_user(method, proof=session.get("proof"), **arguments)
    except RemoteError as error:
        if error.name != "ConfirmationNeeded":
            raise
        raise Unconfirmed from error


def _begin_ceremony(begun: dict[str, Any]) -> dict[str, Any]:
    session["ceremony"] = begun["ceremony"]
    options: dict[str, Any] = begun["options"]
    return options


def sign_out() -> None:
    """End the session in every process, unless it has already ended, and clear it here.

    Raises GatewayError SignOutUnknown, and keeps the cookie, so that signing out can be repeated.
    """
    with _calling_unavailable("SignOutUnknown"):
        _revoke()
    session.clear()


def sign_out_everywhere() -> None:
    """End all sessions of the current user, in every process; raises as `sign_out` does."""
    with _calling_unavailable("SignOutUnknown"):
        _await_effect(call_as_user("auth.sign_out_everywhere"))
    session.clear()


def list_sessions() -> list[dict[str, Any]]:
    """Return the current user's sessions: the `current` one, then the last used first; `device` is a name.

    Those that have ended without use are left out. A cookie may know of a later use than auth does.
    """
    _uses().report()
    found = call_as_user("auth.list_sessions")
    own = current_user.session_id
    named = [{**each, "device": device_name(each["device"]), "current": each["id"] == own} for each in found]
    since = datetime.now(UTC) - timedelta(seconds=IDLE_SECONDS + QUIET_SECONDS)
    used = [each for each in named if each["current"] or datetime.fromisoformat(each["used_at"]) > since]
    return sorted(used, key=lambda each: not each["current"])


def end_session(session_id: str) -> bool:
    """End one of the current user's sessions, in every process; return whether it was the one of this request.

    Raises RemoteError SessionNotFound, or GatewayError SessionEndUnknown, or SignOutUnknown for one's own.
    """
    if session_id == current_user.session_id:
        sign_out()
        return True
    with _calling_unavailable("SessionEndUnknown"):
        _await_effect(call_as_user("auth.end_session", session_id=ids.session(session_id)))
    return False


def change_password(current: str, new: str, code: str | None = None) -> None:
    """Change the current user's password, which ends all their sessions and starts a new one here.

    A user with an authenticator app needs a `code`. Raises GatewayError PasswordUnknown when auth does not answer: the
    password may be changed already.
    """
    given: dict[str, Any] = {"current": current, "new": new}
    given |= {"code": code} if code else {}  # an earlier version of auth takes none
    with _calling_unavailable("PasswordUnknown"):
        signed_in = call_as_user("auth.change_password", **given)
        _await_effect(signed_in["revocation"])
        _start(signed_in)


@contextmanager
def _calling_unavailable(name: str) -> Iterator[None]:
    try:
        yield
    except ServiceUnavailable as error:
        log.warning("%s: %s", name, error)
        raise GatewayError(name) from error


def _start(signed_in: dict[str, Any]) -> None:
    try:
        claims = current_app.extensions["verifier"].verify(signed_in["token"])
    except InvalidToken as error:
        raise ServiceUnavailable(f"the token that auth has just minted is refused here: {error}") from error
    earlier, typed = subject_of(session.get("token")), session.get("typed")
    session.clear()
    if typed and earlier in (None, claims.subject):  # not another user's input
        session["typed"] = typed
    session["token"], session["used_at"] = signed_in["token"], int(time.time())
    session.permanent = True
    _note_use(claims)


def _note_use(claims: Claims) -> None:
    _uses().note(claims, request.headers.get("User-Agent", ""), request.remote_addr or "")


def _uses() -> SessionUses:
    uses: SessionUses = current_app.extensions["session_uses"]
    return uses


def _revoke() -> None:
    """End this session in every process; again, if it has ended in some."""
    try:
        current_app.extensions["verifier"].verify(session.get("token"))
        _await_effect(call_as_user("auth.sign_out"))
    except InvalidToken:
        return
    except RemoteError as error:
        if error.name != "Unauthenticated":
            raise


def _await_effect(revocation: dict[str, Any]) -> None:
    """Return once a revocation by auth is effective in every process."""
    _revocations().wake()
    await_effect(lambda timeout: bool(call_as_gateway("auth.is_effective", timeout=timeout, **revocation)))


def _revocations() -> Revocations:
    revocations: Revocations = current_app.extensions["revocations"]
    return revocations


def _is_revoked(claims: Claims) -> bool:
    try:
        return _revocations().is_revoked(claims)
    except ServiceUnavailable:
        g.session_unknown = True  # the error page that follows need not check again
        raise
