"""How a user signs in: codes of an authenticator app, passkeys, and the confirmations before they change."""

from collections.abc import Callable
from typing import Any

import segno
from flask import Blueprint, flash, jsonify, redirect, render_template, request, session, url_for
from flask_login import login_required
from markupsafe import Markup

from gateway import holds, sessions
from gateway.errors import current_page
from gateway.languages import N_, gettext
from gateway.pages.forms import Form, WithCode
from gateway.schemas import (
    AuthenticatorBody,
    CodeBody,
    ConfirmationBody,
    PasskeyAnswerBody,
    PasskeyBody,
    PasskeyIdBody,
)
from gateway.security import safe_path

bp = Blueprint("account_security", __name__)

CHANGES = {
    "password_changed": N_("Your password was changed."),
    "authenticator_on": N_("An authenticator app was set up."),
    "authenticator_off": N_("The authenticator app was turned off."),
    "recovery_codes_renewed": N_("New recovery codes were made."),
    "recovery_code_used": N_("A recovery code was used."),
    "passkey_added": N_("A passkey was added:"),
    "passkey_removed": N_("A passkey was removed:"),
    "removed_by_operator": N_("Our support turned the authenticator app off."),
}


@bp.errorhandler(sessions.Unconfirmed)
def ask_to_confirm(_error: sessions.Unconfirmed) -> Any:
    """Redirect users to the page on which they confirm their identity, and from there back."""
    return redirect(url_for("account_security.confirm", next=current_page()), 303)


@bp.route("/signin/code", methods=["GET", "POST"])
def enter_code() -> Any:
    """Ask for the code that a sign-in needs in addition to the password."""
    form, target = WithCode(CodeBody()), _target(url_for("home.show"))
    if "pending" not in session:
        return redirect(url_for("account.sign_in", next=target), 303)
    if request.method == "POST":
        try:
            user = form.submit(lambda data: sessions.sign_in_with_code(**data))
        finally:
            form.typed.clear()
        if user:
            flash(gettext("You are signed in."), "success")
            holds.note_all()
            return redirect(target, 303)
        if form.error == "TookTooLong":
            del session["pending"]
            flash(gettext("Signing in took too long. Enter your email and your password again."), "error")
            return redirect(url_for("account.sign_in", next=target), 303)
    return render_template("account/code.html", form=form, next=target), form.status, form.headers


@bp.post("/signin/passkey-options")
def request_passkey() -> Any:
    """Return what the browser needs to answer with a passkey."""
    return jsonify(sessions.request_passkey())


@bp.post("/signin/passkey")
def sign_in_with_passkey() -> Any:
    """Start a session for the user of a passkey."""
    target = _target(url_for("home.show"))
    if _answered(lambda data: sessions.sign_in_with_passkey(**data)):
        flash(gettext("You are signed in."), "success")
        holds.note_all()
        return redirect(target, 303)
    return redirect(url_for("account.sign_in", next=target), 303)


@bp.get("/account/security")
@login_required
def show() -> Any:
    """Show how the user signs in, and what was changed lately."""
    return _security_page(Form(PasskeyBody()))


@bp.route("/account/confirm", methods=["GET", "POST"])
@login_required
def confirm() -> Any:
    """Ask for the password (and a code, if the user has an app) or a passkey before a change; good for ten minutes."""
    form, target = WithCode(ConfirmationBody()), _target(url_for("account_security.show"))
    if request.method == "POST":
        try:
            if form.submit(_confirm):
                return _confirmed(target)
        finally:
            form.typed.clear()
    page = render_template("account/confirm.html", form=form, next=target, security=sessions.account_security())
    return page, form.status, form.headers


@bp.post("/account/confirm/passkey")
@login_required
def confirm_with_passkey() -> Any:
    """Confirm with a passkey."""
    target = _target(url_for("account_security.show"))
    if _answered(_confirm):
        return _confirmed(target)
    return redirect(url_for("account_security.confirm", next=target), 303)


@bp.route("/account/security/authenticator", methods=["GET", "POST"])
@login_required
def set_up_authenticator() -> Any:
    """Show the secret for an authenticator app, and turn it on with the app's first code; show the recovery codes."""
    form = Form(AuthenticatorBody())
    form.explained = (400, 409, 429)
    setup = form.typed.get("setup")
    if request.method == "POST":
        codes = form.submit(lambda data: sessions.turn_on_authenticator(**data))
        if codes:
            return _codes_page(codes, gettext("Your authenticator app is set up"))
        if form.error == "AuthenticatorInUse":
            flash(form.problems[""], "success")
            return redirect(url_for("account_security.show"), 303)
        if form.error == "TookTooLong" or "setup" in form.problems:
            flash(gettext("Setting up took too long. Begin again."), "error")
            return redirect(url_for("account_security.set_up_authenticator"), 303)
    form.typed.clear()
    new = sessions.call_confirmed("auth.new_authenticator", setup=setup or None)
    page = render_template("account/authenticator.html", form=form, new=new, qr=_qr(new["uri"]))
    return page, form.status, form.headers


@bp.post("/account/security/turn-off-authenticator")
@login_required
def turn_off_authenticator() -> Any:
    """Sign in with the password alone from now on."""
    sessions.call_confirmed("auth.turn_off_authenticator")
    flash(gettext("Your authenticator app is turned off, and its recovery codes no longer work."), "success")
    return redirect(url_for("account_security.show"), 303)


@bp.post("/account/security/recovery-codes")
@login_required
def renew_recovery_codes() -> Any:
    """Show new recovery codes; the earlier ones end."""
    found = sessions.call_confirmed("auth.renew_recovery_codes")
    return _codes_page(found["recovery_codes"], gettext("Your new recovery codes"))


@bp.post("/account/security/passkey-options")
@login_required
def new_passkey() -> Any:
    """Return what the browser needs to make a passkey."""
    return jsonify(sessions.new_passkey())


@bp.post("/account/security/passkeys")
@login_required
def add_passkey() -> Any:
    """Add the passkey that the browser made."""
    form = Form(PasskeyBody())
    if form.submit(_add_passkey):
        flash(gettext("Your passkey is added. You can sign in with it from now on."), "success")
        return redirect(url_for("account_security.show"), 303)
    form.typed.pop("answer", None)
    return _security_page(form)


@bp.post("/account/security/remove-passkey")
@login_required
def remove_passkey() -> Any:
    """Remove a passkey."""
    sessions.call_confirmed("auth.remove_passkey", **PasskeyIdBody().load(request.form.to_dict()))
    flash(gettext("The passkey is removed here. You may also delete it on your device."), "success")
    return redirect(url_for("account_security.show"), 303)


def _confirm(data: dict[str, str]) -> bool:
    sessions.confirm(**data)
    return True


def _add_passkey(data: dict[str, str]) -> bool:
    sessions.add_passkey(**data)
    return True


def _target(default: str) -> str:
    return safe_path(request.values.get("next")) or default


def _answered(action: Callable[[dict[str, str]], Any]) -> bool:
    """Return whether `action` accepts the passkey's answer in this form; say why if not."""
    form = Form(PasskeyAnswerBody())
    if form.submit(action):
        return True
    flash(next(iter(form.problems.values())), "error")
    return False


def _confirmed(target: str) -> Any:
    flash(gettext("Confirmed. You can make changes for ten minutes."), "success")
    return redirect(target, 303)


def _security_page(form: Form) -> Any:
    page = render_template("account/security.html", form=form, security=sessions.account_security(), changes=CHANGES)
    return page, form.status, form.headers


def _codes_page(codes: list[str], title: str) -> Any:
    return render_template("account/recovery_codes.html", codes=codes, title=title)


def _qr(uri: str) -> Markup:
    """Return the QR code as an SVG element: dark on light in every colour scheme, for cameras."""
    drawn: str = segno.make(uri, error="m").svg_inline(
        scale=5,
        border=4,
        dark="#000",
        light="#fff",
        svgclass="qr",
        lineclass=None,
        title=gettext("QR code"),
        omitsize=True,
    )
    return Markup(drawn)  # noqa: S704 - segno's own, in which the text is dots
