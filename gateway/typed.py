"""What was typed into a form that could not be used: kept in the session's cookie until its page is shown again.

It could not because the session had ended, the form was too old, or a service did not answer.
"""

from flask import current_app, request, session
from flask.sessions import SecureCookieSessionInterface

LARGEST_COOKIE = 3800  # bytes; browsers drop a cookie of more than 4096, name and attributes included
SECRETS = ("csrf_token", "password", "currentPassword", "newPassword", "token")


def keep_typed() -> None:
    """Keep what this request would have submitted, if it is for a page with a form, but never a secret."""
    if request.method != "POST" or request.url_rule is None or "GET" not in (request.url_rule.methods or ()):
        return
    fields = {name: value for name, value in request.form.items() if name not in SECRETS}
    session["typed"] = {"path": request.path, "fields": fields}
    signing = SecureCookieSessionInterface().get_signing_serializer(current_app)
    if signing is not None and len(signing.dumps(dict(session))) > LARGEST_COOKIE:
        del session["typed"]


def take_typed() -> dict[str, str] | None:
    """Return what was kept for this page, once; None when nothing was."""
    typed = session.get("typed")
    if not typed or typed["path"] != request.path:
        return None
    fields: dict[str, str] = session.pop("typed")["fields"]
    return fields
