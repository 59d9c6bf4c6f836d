"""What was typed into a form that could not be used: kept in the session's cookie until its page is shown again.

It could not because the session had ended, the form was too old, or a service did not answer.
"""

from flask import current_app, request, session
from flask.sessions import SecureCookieSessionInterface

LARGEST_COOKIE = 3800  # bytes; browsers drop a cookie of more than 4096, name and attributes included
SECRETS = ("csrf_token", "password", "currentPassword", "newPassword", "token", "code", "setup", "answer")


def keep_typed() -> None:
    """Keep what this request would have submitted, if it is for a page with a form, but never a secret.

    What other pages' forms had, in other tabs, is kept beside it as far as the cookie goes, the newest first.
    """
    if request.method != "POST" or request.url_rule is None or "GET" not in (request.url_rule.methods or ()):
        return
    fields = {name: value for name, value in request.form.items() if name not in SECRETS}
    typed = {path: kept for path, kept in session.get("typed", {}).items() if path != request.path}
    _store(typed | {request.path: fields})


def take_typed() -> dict[str, str] | None:
    """Return what was kept for this page, once; None when nothing was."""
    typed: dict[str, dict[str, str]] = dict(session.get("typed", {}))
    fields = typed.pop(request.path, None)
    if fields is not None:
        _store(typed)
    return fields


def _store(typed: dict[str, dict[str, str]]) -> None:
    """Keep this in the cookie, without the oldest of what does not fit."""
    signing = SecureCookieSessionInterface().get_signing_serializer(current_app)
    session.pop("typed", None)
    while typed:
        kept = {**session, "typed": typed}
        if signing is None or len(signing.dumps(kept)) <= LARGEST_COOKIE:
            session["typed"] = typed
            return
        typed = dict(list(typed.items())[1:])
