"""The gateway's own metrics: requests by route and status, and their times.

Every gunicorn worker counts in files of its own in PROMETHEUS_MULTIPROC_DIR; gunicorn's master adds them up and serves
them (gunicorn.conf.py).
"""

import time

from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from libs.metrics import SECONDS

BEGAN = "gateway.began"
"""In a WSGI environment: when the request came, by `time.perf_counter`, if it had to wait before Flask got it."""
METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"}

http_requests = Counter("http_requests", "Requests answered.", ("method", "route", "status"))
http_request_seconds = Histogram(
    "http_request_seconds", "How long an answer took.", ("method", "route"), buckets=SECONDS
)


def register(app: Flask) -> None:
    """Count every request of `app`; to be registered first, so that none is answered before it counts."""
    app.before_request(_begin)
    app.after_request(_count)


def _begin() -> None:
    g.began = request.environ.get(BEGAN) or time.perf_counter()


def _count(response: Response) -> Response:
    # a route and a method that the client made up would be a new time series each
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.method in METHODS else "other"
    count(method, route, response.status_code, time.perf_counter() - g.get("began", time.perf_counter()))
    return response


def count(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request that was answered within so many seconds."""
    http_requests.labels(method, route, status).inc()
    http_request_seconds.labels(method, route).observe(seconds)
