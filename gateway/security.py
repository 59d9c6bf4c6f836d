"""Protection of browsers: same-origin checks, CSRF tokens in forms, and the security headers of every response."""

import hmac
import logging
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request, session
from markupsafe import Markup
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from gateway.cache import public
from gateway.errors import GatewayError, lead_back, reading_body
from gateway.languages import language
from gateway.proxies import Proxies
from gateway.settings import Settings
from gateway.stripe_js import allowed_sources
from libs import context

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
FORM_BYTES = 64 * 1024
"""The largest form: to read one of 1 MB may take a second. The longest of ours has a passkey's answer, of 16 kB."""
FORM_TYPES = {"application/x-www-form-urlencoded", "multipart/form-data"}
WEBHOOKS = "/api/webhooks/"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
SHOWN_ELSEWHERE = ("static", "crawlers.icon")
"""Endpoints that other sites may load: the preview pictures of links to us, and our icons."""
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
REMEDY = "if browsers connect over TLS, set GATEWAY_TLS=1"
WITHOUT_TOKEN = ("account.sign_in", "account.sign_up", "account.sign_out", "home.choose_theme", "home.choose_language")
"""Forms that do the same whoever is signed in by now; pages for visitors with only such forms need no session."""
YEAR_SECONDS = 31_536_000

log = logging.getLogger(__name__)


def register(app: Flask, settings: Settings) -> None:
    """Check every request of `app`, and add the security headers to every response."""
    fixed = {**HEADERS, "Content-Security-Policy": content_security_policy(settings)}
    if settings.tls:
        fixed["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}; includeSubDomains"
    app.wsgi_app = Proxies(app.wsgi_app, settings.proxies)  # type: ignore[method-assign]

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        response.headers.update(fixed)
        if request.endpoint in SHOWN_ELSEWHERE:
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["X-Request-Id"] = context.correlation_id()
        _limit_caching(response)
        return response

    app.before_request(lambda: context.set_client(request.remote_addr))
    app.before_request(check_encoding)
    app.before_request(check_origin)
    app.before_request(check_csrf)
    app.add_template_global(csrf_field)


def content_security_policy(settings: Settings) -> str:
    """Return the policy: our own files, and what the card form loads from Stripe or its simulation."""
    stripe = allowed_sources(settings)
    return (
        f"default-src 'none'; script-src 'self' {stripe['script-src']}; style-src 'self'; img-src 'self'; "
        f"font-src 'self'; manifest-src 'self'; connect-src 'self' {stripe['connect-src']}; "
        f"frame-src {stripe['frame-src']}; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
    )


def check_encoding() -> None:
    """Refuse a compressed body: nothing here decompresses it."""
    codings = ",".join(filter(None, map(request.environ.get, public.CODINGS)))
    if codings and {coding.strip().lower() for coding in codings.split(",")} - {"", "identity", "chunked"}:
        raise GatewayError("CompressedBody")


def check_origin() -> None:
    """Refuse a cross-site request that changes something; a client without an Origin is not a browser.

    Our origin has the scheme by which browsers reach us: https with GATEWAY_TLS, or when the host has its port, else
    that which the proxies report.
    """
    if request.method in SAFE_METHODS or request.path.startswith(WEBHOOKS):
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise GatewayError("ForeignOrigin")
    origin = request.headers.get("Origin")
    if origin is not None and not _is_ours(origin):
        raise GatewayError("ForeignOrigin")


def _is_ours(origin: str) -> bool:
    try:
        scheme, host = urlsplit(origin)[:2]
    except ValueError:  # such as http://[
        return False
    has_tls = current_app.config["SESSION_COOKIE_SECURE"] or request.host.endswith(DEFAULT_PORTS["https"])
    ours = "https" if has_tls else request.scheme
    if scheme not in DEFAULT_PORTS or _without_port(scheme, host) != _without_port(ours, request.host):
        return False
    if scheme != ours:
        log.warning("refused a request from our own host over %s, but we are reached over %s: %s", scheme, ours, REMEDY)
    return scheme == ours


def _without_port(scheme: str, host: str) -> str:
    """Return a host in lower case, without the port that is the default of the scheme."""
    return host.lower().removesuffix(DEFAULT_PORTS[scheme])


def has_body() -> bool:
    """Return whether the request announces a body."""
    return bool(request.content_length) or "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def receive_body(most_bytes: int) -> None:
    """Receive this request's body, JSON or form; raise RequestEntityTooLarge, or what `reading_body` raises."""
    request.max_content_length = most_bytes
    with reading_body():
        body = request.get_data()  # raises when the announced length is larger
    if request.content_length is None and len(body) >= most_bytes:
        raise RequestEntityTooLarge  # werkzeug silently truncates a chunked body at the limit


def check_csrf() -> AnyResponse | None:
    """Refuse a body that is not a form, and a form without the CSRF token of its session.

    A form sent from one of our pages is not lost then: it is shown again, after signing in if need be.
    Two tabs that were opened at once without a cookie have two tokens and one cookie, so signing in goes without; and
    signing out in a tab that is older than the session means that session too.
    """
    if request.method in SAFE_METHODS or request.path.startswith("/api/") or request.endpoint is None:
        return None
    if has_body() and request.mimetype not in FORM_TYPES:
        raise GatewayError("NotAForm")
    expected = session.get("csrf", "")
    receive_body(FORM_BYTES)
    given = request.form.get("csrf_token", "")
    if has_body() and not request.form and not request.files:
        raise BadRequest  # Flask ignores a form that it cannot parse
    if expected and hmac.compare_digest(expected.encode(), _unmask(given)):
        return None
    if not _is_sent_from_our_page():
        raise GatewayError("StaleForm")
    return None if request.endpoint in WITHOUT_TOKEN else lead_back()


def _is_sent_from_our_page() -> bool:
    """Return whether the browser confirms that a person sent a form of this site: no other site can forge these."""
    sent = request.headers
    is_own = sent.get("Sec-Fetch-Site") == "same-origin" or "Origin" in sent  # which check_origin has compared
    return is_own and sent.get("Sec-Fetch-Mode", "navigate") == "navigate"


def csrf_field() -> Markup:
    """Return the hidden input with the CSRF token, for every form.

    It is masked with new random bytes each time: a constant secret in compressed pages could be guessed from their
    sizes (BREACH).
    """
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(32)
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(_mask(session["csrf"].encode()))


def _mask(token: bytes) -> str:
    mask = secrets.token_bytes(len(token))
    return urlsafe_b64encode(mask + _xor(mask, token)).decode()


def _unmask(given: str) -> bytes:
    """Return the token that `_mask` masked; an arbitrary text for any other input."""
    try:
        both = urlsafe_b64decode(given.encode())
    except ValueError:
        return b""
    return _xor(both[: len(both) // 2], both[len(both) // 2 :])


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=False))


def safe_path(target: str | None) -> str | None:
    """Return `target` if it is a path on this site, else None; browsers drop control characters and read \\ as /."""
    if not target or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return None
    if any(ord(character) <= 0x20 or ord(character) == 0x7F for character in target):
        return None
    return target


def _limit_caching(response: Response) -> None:
    if response.headers.get("Cache-Control", "").startswith("public") and response.status_code < 400:
        return
    if response.mimetype == "text/html":
        response.vary.update(("Cookie", "Accept-Language"))
        response.headers["Content-Language"] = language()
    else:
        response.vary.add("Cookie")
    if response.status_code < 400 and (headers := public.caching_headers()):
        response.headers.update(headers)
        return
    private = session or session.modified or response.status_code >= 400
    response.headers["Cache-Control"] = "no-store" if private else "no-cache"
