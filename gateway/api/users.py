"""Sign up, sign in, sign out, another password, and who is signed in."""

from typing import Any

from flask import Blueprint
from flask_login import login_required

from gateway import sessions
from gateway.bodies import read_body
from gateway.schemas import PasswordBody, SignInBody, SignUpBody, UserAnswer

bp = Blueprint("api_users", __name__, url_prefix="/api/users")


@bp.post("/signup")
def sign_up() -> tuple[Any, int]:
    """Make a new user and sign them in."""
    return UserAnswer().dump(sessions.enter("auth.sign_up", read_body(SignUpBody()))), 201


@bp.post("/signin")
def sign_in() -> Any:
    """Start a session; the one that this browser had before is ended."""
    return UserAnswer().dump(sessions.enter("auth.sign_in", read_body(SignInBody())))


@bp.post("/signout")
def sign_out() -> Any:
    """End the session everywhere; signing out twice is no error."""
    sessions.end()
    return {}


@bp.post("/signout-everywhere")
@login_required
def sign_out_everywhere() -> Any:
    """End all sessions of the user, on every device."""
    sessions.end_everywhere()
    return {}


@bp.post("/password")
@login_required
def change_password() -> Any:
    """Change the password; all other sessions of the user end."""
    sessions.change_password(**read_body(PasswordBody()))
    return {}


@bp.get("/currentuser")
def current() -> Any:
    """Say who is signed in, null for nobody."""
    user = sessions.viewer()
    return {"currentUser": None if user is None else UserAnswer().dump(user)}
