"""The sessions of the user who is signed in."""

from typing import Any

from flask import Blueprint
from flask_login import login_required

from gateway import sessions
from gateway.schemas import SessionResponse

bp = Blueprint("api_sessions", __name__, url_prefix="/api/users/sessions")


@bp.get("")
@login_required
def list_own() -> Any:
    """Return where the user is signed in, this session, then the last used first."""
    return SessionResponse(many=True).dump(sessions.list_sessions())


@bp.delete("/<session_id>")
@login_required
def end(session_id: str) -> tuple[str, int]:
    """End one of the user's sessions, on every device that has it."""
    sessions.end_session(session_id)
    return "", 204
