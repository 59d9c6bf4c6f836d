"""Liveness and readiness: of this process alone.

Neither depends on a service. With one of them stalled the gateway still serves all that does not need it; were it taken
out of service, or started again, nothing would be served.
"""

from typing import Any

from flask import Blueprint, current_app

from gateway.services import Services
from libs.rpc import ServiceUnavailable

READY_SECONDS = 2.0

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> Any:
    """Answer 200 as long as this process runs."""
    return {"status": "alive"}


@bp.get("/readyz")
def ready() -> tuple[Any, int]:
    """Answer 200 while this process is connected to the broker, without which it can serve no page, else 503."""
    services: Services = current_app.extensions["services"]
    try:
        services.client.await_connection(READY_SECONDS)
    except ServiceUnavailable:
        return {"status": "waiting"}, 503
    return {"status": "ready"}, 200
