"""The input of a form that could not be processed: kept in the session cookie until its page is shown again.

That happens when the session had ended, the form was too old, or a service did not answer.
"""

from flask import request, session

SECRETS = ("csrf_token", "password", "currentPassword", "newPassword", "token", "code", "setup", "answer")


def save_input() -> None:
    """Keep the input of this request, if its page has a form, but never a secret.

    The inputs of other pages, in other tabs, are kept too, as far as the cookie has room, the newest first.
    """
    if request.method != "POST" or request.url_rule is None or "GET" not in (request.url_rule.methods or ()):
        return
    fields = {name: value for name, value in request.form.items() if name not in SECRETS}
    typed = {path: kept for path, kept in session.get("typed", {}).items() if path != request.path}
    session["typed"] = typed | {request.path: fields}


def take_saved_input() -> dict[str, str] | None:
    """Return the input that was kept for this page, once; None if there is none."""
    typed: dict[str, dict[str, str]] = dict(session.get("typed", {}))
    fields = typed.pop(request.path, None)
    if fields is not None:
        session["typed"] = typed
    return fields
