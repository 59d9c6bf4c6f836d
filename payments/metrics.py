"""Metrics, traces and deadlines of the requests to Stripe."""

import re
import time
from typing import Any
from urllib.parse import urlsplit

import stripe
from eventlet import Timeout
from prometheus_client import Histogram

from libs import tracing
from libs.metrics import SECONDS

IDENT = re.compile(r"(?<=/)(pi|ch|py|pyr|re|pm|tok|du|dp|evt)_\w+")

stripe_request_seconds = Histogram(
    "stripe_request_seconds",
    "How long Stripe took to answer; status: that of HTTP, none without an answer.",
    ("request", "status"),
    buckets=SECONDS,
)


class TimedRequests(stripe.RequestsClient):
    """Stripe's own HTTP client, timed. Its time-out is that of a whole request; alone it is that of each read."""

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        """Send a request; return what the client does."""
        began, status, kind = time.monotonic(), "none", _kind(method, url)
        about = {"http.request.method": method.upper(), "server.address": urlsplit(url).hostname or ""}
        try:
            with tracing.client_span(kind, about), Timeout(self._timeout, TimeoutError):
                answer = super().request(method, url, *arguments, **options)
                tracing.record_status(answer[1])
            status = str(answer[1])
            return answer
        finally:
            stripe_request_seconds.labels(kind, status).observe(time.monotonic() - began)


def _kind(method: str, url: str) -> str:
    """Return the kind of a request, such as `POST /v1/payment_intents/ID/confirm`."""
    path = "/" + url.partition("//")[2].partition("/")[2].partition("?")[0]
    return f"{method.upper()} {IDENT.sub('ID', path)}"
