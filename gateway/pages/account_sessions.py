"""Where the user is signed in: the page of their sessions."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_login import login_required

from gateway import sessions
from gateway.languages import gettext

bp = Blueprint("account_sessions", __name__)


@bp.get("/account/sessions")
@login_required
def show() -> Any:
    """Show where the user is signed in."""
    return render_template("account/sessions.html", sessions=sessions.list_sessions())


@bp.post("/account/sessions/<session_id>")
@login_required
def end(session_id: str) -> Any:
    """End one of the user's sessions."""
    if sessions.end_session(session_id):
        flash(gettext("You are signed out."), "success")
        return redirect(url_for("home.show"), 303)
    flash(gettext("That session has ended."), "success")
    return redirect(url_for("account_sessions.show"), 303)
