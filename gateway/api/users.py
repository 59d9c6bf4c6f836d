"""Sign up, sign in, sign out, change the password, show the current user."""

from typing import Any

from flask import Blueprint
from flask_login import login_required

from gateway import sessions
from gateway.bodies import read_body
from gateway.schemas import PasswordBody, SignInBody, SignUpBody, UserResponse

bp = Blueprint("api_users", __name__, url_prefix="/api/users")


@bp.post("/signup")
def sign_up() -> tuple[Any, int]:
    """Create a user and sign them in."""
    return UserResponse().dump(sessions.sign_up(read_body(SignUpBody()))), 201


@bp.post("/signin")
def sign_in() -> Any:
    """Start a session, and end the one that this browser had."""
    return UserResponse().dump(sessions.sign_in("auth.sign_in", read_body(SignInBody())))


@bp.post("/signout")
def sign_out() -> Any:
    """End the session; signing out twice is no error."""
    sessions.sign_out()
    return {}


@bp.post("/signout-everywhere")
@login_required
def sign_out_everywhere() -> Any:
    """End all sessions of the user, on every device."""
    sessions.sign_out_everywhere()
    return {}


@bp.post("/password")
@login_required
def change_password() -> Any:
    """Change the password; all other sessions of the user end."""
    sessions.change_password(**read_body(PasswordBody()))
    return {}


@bp.get("/currentuser")
def current() -> Any:
    """Return the user who is signed in, or null."""
    user = sessions.viewer()
    return {"currentUser": None if user is None else {"id": user.id, "email": user.email}}
