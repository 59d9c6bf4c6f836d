"""Sign up, sign in, sign out, and the user's account."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import login_required

from gateway import holds, sessions
from gateway.languages import N_, gettext
from gateway.pages.forms import Form, WithCode
from gateway.schemas import NameBody, PasswordBody, SignInBody, SignUpBody
from gateway.security import safe_path
from gateway.sellers import forget, seller_of
from gateway.services import call_as_user
from gateway.sessions import viewer
from libs.rpc import RemoteError

bp = Blueprint("account", __name__)


@bp.route("/signup", methods=["GET", "POST"])
def sign_up() -> Any:
    """Create a user and sign them in."""
    return _sign_in_page(Form(SignUpBody()), _sign_up, "account/sign_up.html", N_("Welcome to Ticketing."))


@bp.route("/signin", methods=["GET", "POST"])
def sign_in() -> Any:
    """Start a session and return to where the visitor was."""
    return _sign_in_page(
        Form(SignInBody(), {"email": request.args.get("email", "")}),
        sessions.sign_in_or_ask,
        "account/sign_in.html",
        N_("You are signed in."),
    )


@bp.post("/signout")
def sign_out() -> Any:
    """End the session."""
    sessions.sign_out()
    flash(gettext("You are signed out."), "success")
    return redirect(url_for("home.show"), 303)


@bp.get("/account")
@login_required
def show() -> Any:
    """Show the account page."""
    return _account_page(Form(PasswordBody()))


@bp.post("/account/password")
@login_required
def change_password() -> Any:
    """Change the password; all other sessions of the user end."""
    form = WithCode(PasswordBody())
    if form.submit(_change_password):
        flash(gettext("Your password is changed. You are signed out everywhere else."), "success")
        return redirect(url_for("account.show"), 303)
    return _account_page(form)


@bp.route("/account/name", methods=["GET", "POST"])
@login_required
def name() -> Any:
    """Choose the name that buyers see."""
    user = viewer()
    assert user is not None
    seller = seller_of({"seller_id": user.id}, now=True)
    form = Form(NameBody(), {"name": seller.name or ""})
    if request.method == "POST" and form.submit(lambda data: call_as_user("auth.choose_name", **data)):
        forget(user.id)
        flash(gettext("Your name is saved."), "success")
        return redirect(url_for("account.name"), 303)
    return render_template("account/name.html", form=form, seller=seller), form.status


@bp.post("/account/signout-everywhere")
@login_required
def sign_out_everywhere() -> Any:
    """End all sessions of the user, on every device."""
    sessions.sign_out_everywhere()
    flash(gettext("You are signed out on every device."), "success")
    return redirect(url_for("home.show"), 303)


def _change_password(data: dict[str, str]) -> bool:
    sessions.change_password(**data)
    return True


def _account_page(form: Form) -> Any:
    form.typed.clear()  # no password is ever shown again
    user = viewer()
    assert user is not None
    seller = seller_of({"seller_id": user.id})
    page = render_template("account/show.html", form=form, security=sessions.account_security(), seller=seller)
    return page, form.status, form.headers


def _sign_up(data: dict[str, Any]) -> dict[str, Any]:
    """Sign up, or in when the same form has done so before, by a first click or in another tab."""
    try:
        return sessions.sign_in("auth.sign_up", data)
    except RemoteError as error:
        if error.name != "EmailInUse":
            raise
        with suppress(RemoteError):
            return _sign_in(data)
        raise


def _sign_in(data: dict[str, Any]) -> dict[str, Any]:
    return sessions.sign_in("auth.sign_in", data)


def _sign_in_page(form: Form, action: Callable[[dict[str, Any]], Any], template: str, greeting: str) -> Any:
    form.explained = (400, 403, 429)
    target = safe_path(request.values.get("next")) or url_for("home.show")
    if request.method == "GET" and viewer():
        return redirect(target, 303)
    user = form.submit(action) if request.method == "POST" else None
    if request.method == "POST" and user is None and not form.problems:
        return redirect(url_for("account_security.enter_code", next=target), 303)
    if user:
        flash(gettext(greeting), "success")
        holds.note_all()
        return redirect(target, 303)
    form.typed.pop("password", None)
    if form.error == "EmailInUse":
        form.offers["email"] = (
            gettext("Sign in instead"),
            url_for("account.sign_in", next=target, email=form.typed["email"]),
        )
    return render_template(template, form=form, next=target), form.status, form.headers
