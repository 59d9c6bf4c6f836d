"""Sign up, sign in, sign out, and who is signed in."""

from typing import Any

from flask import Blueprint

from gateway import sessions
from gateway.bodies import read_body
from gateway.schemas import SignInBody, SignUpBody, UserAnswer
from gateway.services import call_public

bp = Blueprint("api_users", __name__, url_prefix="/api/users")


@bp.post("/signup")
def sign_up() -> tuple[Any, int]:
    """Make a new user and sign them in."""
    signed_in = call_public("auth.sign_up", **read_body(SignUpBody()))
    sessions.begin(signed_in)
    return UserAnswer().dump(signed_in["user"]), 201


@bp.post("/signin")
def sign_in() -> Any:
    """Start a session."""
    signed_in = call_public("auth.sign_in", **read_body(SignInBody()))
    sessions.begin(signed_in)
    return UserAnswer().dump(signed_in["user"])


@bp.post("/signout")
def sign_out() -> Any:
    """End the session everywhere; signing out twice is no error."""
    sessions.end()
    return {}


@bp.get("/currentuser")
def current() -> Any:
    """Say who is signed in, null for nobody."""
    user = sessions.viewer()
    return {"currentUser": None if user is None else UserAnswer().dump(user)}
