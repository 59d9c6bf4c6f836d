"""The mark of a session that has just changed something: it reads past every memory, in every process.

It is a cookie of its own, which the browser or client drops after MARK_SECONDS by its own clock: so no clocks are
compared, and answers that cross each other overwrite no session. A forged one only makes reads go to the services. A
change is noted before it is sent, for it may be carried out though no answer comes.
"""

from flask import Flask, Response, g, has_request_context, request

MARK = "ticketing-changed"
MARK_SECONDS = 3
"""Clients count whole seconds, so that a mark lives for two at least: longer than anything older is served."""
MARKING = ("tickets", "orders", "payments")
"""The services whose data are public."""


def register(app: Flask, *, tls: bool) -> None:
    """Let the responses of `app` mark sessions that changed something."""
    name = f"{'__Host-' if tls else ''}{MARK}"

    @app.after_request
    def set_mark(response: Response) -> Response:
        if g.get("has_changed"):
            response.set_cookie(name, "1", MARK_SECONDS, secure=tls, httponly=True, samesite="Lax")
        return response


def note_change(service: str) -> None:
    """Note that this request is about to have a service change something."""
    if service in MARKING and has_request_context():
        g.has_changed = True


def has_changed(cookies: str | None = None) -> bool:
    """Return whether the session has just changed something, by the header with its cookies, or in this request."""
    if cookies is not None:
        return f"{MARK}=" in cookies
    return bool(g.get("has_changed")) or f"{MARK}=" in request.headers.get("Cookie", "")
