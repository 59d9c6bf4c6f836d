"""Liveness and readiness."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Blueprint, current_app

from gateway.services import Services
from libs.rpc import RemoteError, ServiceUnavailable

READY_SECONDS = 2.0
UNKNOWN = "0" * 24
PROBES: dict[str, tuple[str, dict[str, Any]]] = {
    "auth": ("auth.is_revoked", {"session_id": UNKNOWN}),
    "tickets": ("tickets.get", {"ticket_id": UNKNOWN}),
    "orders": ("orders.get", {"order_id": UNKNOWN}),
    "payments": ("payments.get", {"order_id": UNKNOWN}),
}
"""A cheap call to each service that pages and API need; an error reply counts as an answer."""

bp = Blueprint("health", __name__)


@bp.get("/healthz")
def alive() -> Any:
    """Answer 200 as long as this process runs."""
    return {"status": "alive"}


@bp.get("/readyz")
def ready() -> tuple[Any, int]:
    """Answer 200 when every service answers over the broker within two seconds, else 503; says which do."""
    services: Services = current_app.extensions["services"]
    with ThreadPoolExecutor(len(PROBES)) as pool:
        answers = dict(zip(PROBES, pool.map(lambda name: _answers(services, name), PROBES), strict=True))
    status = "ready" if all(answers.values()) else "waiting"
    return {"status": status, "services": answers}, 200 if status == "ready" else 503


def _answers(services: Services, name: str) -> bool:
    method, arguments = PROBES[name]
    try:
        services.call_as_gateway(method, READY_SECONDS, **arguments)
    except RemoteError:
        return True
    except ServiceUnavailable:
        return False
    return True
