"""Liveness and readiness: of this process alone.

Neither depends on any single service. If one is stalled, the gateway still serves everything that does not need it; if
it were taken out of service or restarted, it would serve nothing.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import Blueprint, current_app

from gateway.services import Services
from libs.contracts.parts import SERVICES
from libs.rpc import ServiceUnavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REACH_SECONDS = 0.8
"""How long each service may take to answer: all of them together less than a probe waits (`ops/health.py`)."""
PATHS = ("/healthz", "/readyz")

bp = Blueprint("health", __name__)


class ByAnyName:
    """WSGI middleware: probes may use any host name, because load balancers only know an address."""

    def __init__(self, application: "WSGIApplication", trusted_host: str) -> None:
        self._application = application
        self._host = trusted_host.lstrip(".")

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request."""
        if environ["PATH_INFO"] in PATHS:
            environ["HTTP_HOST"] = self._host
        return self._application(environ, start_response)


@bp.get("/healthz")
def alive() -> Any:
    """Answer 200 as long as this process runs."""
    return {"status": "alive"}


@bp.get("/readyz")
def ready() -> tuple[Any, int]:
    """Answer 200 if any service answers this process over the broker, else 503: it cannot serve any page then."""
    services: Services = current_app.extensions["services"]
    for service in SERVICES:
        with suppress(ServiceUnavailable):
            services.client.ping(service, REACH_SECONDS)
            return {"status": "ready"}, 200
    return {"status": "waiting"}, 503
