"""What Prometheus may ask: requests by route and status, and calls of services, with their times.

Every gunicorn worker counts in files of its own in PROMETHEUS_MULTIPROC_DIR, which gunicorn.conf.py makes, and
whichever of them is asked adds all of them up. Without that setting a process answers for itself alone.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Blueprint, Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from libs.rpc import RemoteError, ServiceUnavailable

METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"}
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)

registry = CollectorRegistry()
requests = Counter("http_requests", "Requests answered.", ("method", "route", "status"), registry=registry)
request_seconds = Histogram(
    "http_request_seconds", "How long an answer took.", ("method", "route"), registry=registry, buckets=SECONDS
)
call_seconds = Histogram(
    "rpc_call_seconds", "How long a service took.", ("method", "outcome"), registry=registry, buckets=SECONDS
)

bp = Blueprint("metrics", __name__)


def register(app: Flask) -> None:
    """Count every request of `app`; to be registered first, so that none is answered before it counts."""
    app.before_request(_begin)
    app.after_request(_count)
    app.register_blueprint(bp)


@bp.get("/metrics")
def show() -> Response:
    """Answer in Prometheus's text format."""
    asked = registry
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        asked = CollectorRegistry()
        MultiProcessCollector(asked)
    return Response(generate_latest(asked), content_type=CONTENT_TYPE_LATEST)


@contextmanager
def measured(method: str) -> Iterator[None]:
    """Measure the call of a service made in the block: ok, refused by it, unavailable, or failed."""
    began, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "ok"
    except RemoteError:
        outcome = "refused"
        raise
    except ServiceUnavailable:
        outcome = "unavailable"
        raise
    finally:
        call_seconds.labels(method, outcome).observe(time.perf_counter() - began)


def _begin() -> None:
    g.began = time.perf_counter()


def _count(response: Response) -> Response:
    # a route and a method that the client made up would be a new time series each
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.method in METHODS else "other"
    requests.labels(method, route, response.status_code).inc()
    request_seconds.labels(method, route).observe(time.perf_counter() - g.get("began", time.perf_counter()))
    return response
