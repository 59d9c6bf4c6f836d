"""Sign up, sign in, sign out."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from gateway import sessions
from gateway.pages.forms import Form
from gateway.schemas import SignInBody, SignUpBody
from gateway.security import safe_path
from gateway.services import call_public

bp = Blueprint("account", __name__)


@bp.route("/signup", methods=["GET", "POST"])
def sign_up() -> Any:
    """Make a new user, who is signed in at once."""
    return _enter(Form(SignUpBody()), "auth.sign_up", "account/sign_up.html", "Welcome to Ticketing.")


@bp.route("/signin", methods=["GET", "POST"])
def sign_in() -> Any:
    """Start a session and go back to where the visitor was."""
    return _enter(Form(SignInBody()), "auth.sign_in", "account/sign_in.html", "You are signed in.")


@bp.post("/signout")
def sign_out() -> Any:
    """End the session everywhere."""
    sessions.end()
    flash("You are signed out.", "success")
    return redirect(url_for("tickets.listing"), 303)


def _enter(form: Form, method: str, template: str, greeting: str) -> Any:
    target = safe_path(request.values.get("next")) or url_for("tickets.listing")
    signed_in = form.submit(lambda data: call_public(method, **data)) if request.method == "POST" else None
    if signed_in:
        sessions.begin(signed_in)
        flash(greeting, "success")
        return redirect(target, 303)
    form.typed.pop("password", None)
    return render_template(template, form=form, next=target), form.status
