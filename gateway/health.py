"""Liveness and readiness: of this process alone.

Neither depends on any one service. With one of them stalled the gateway still serves all that does not need it; were it
taken out of service, or started again, nothing would be served.
"""

from contextlib import suppress
from typing import Any

from flask import Blueprint, current_app

from gateway.services import Services
from libs.contracts.parts import SERVICES
from libs.rpc import ServiceUnavailable

REACH_SECONDS = 0.8
"""How long each service may take to answer: all of them together less than a probe waits (`ops/health.py`)."""

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> Any:
    """Answer 200 as long as this process runs."""
    return {"status": "alive"}


@bp.get("/readyz")
def ready() -> tuple[Any, int]:
    """Answer 200 when one of the services answers this process over the broker, else 503: it can serve no page then."""
    services: Services = current_app.extensions["services"]
    for service in SERVICES:
        with suppress(ServiceUnavailable):
            services.client.reach(service, REACH_SECONDS)
            return {"status": "ready"}, 200
    return {"status": "waiting"}, 503
