"""Whether the gateway lives, and whether it can do its work."""

from typing import Any

from flask import Blueprint

from gateway.services import call_as_gateway
from libs.rpc import RemoteError, ServiceUnavailable

READY_SECONDS = 2.0

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> Any:
    """Answer as long as this process can."""
    return {"status": "alive"}


@bp.get("/readyz")
def ready() -> tuple[Any, int]:
    """Answer 200 when the broker and auth answer, else 503."""
    try:
        call_as_gateway("auth.is_revoked", timeout=READY_SECONDS, session_id="readiness")
    except (ServiceUnavailable, RemoteError):
        return {"status": "waiting for the broker or auth"}, 503
    return {"status": "ready"}, 200
