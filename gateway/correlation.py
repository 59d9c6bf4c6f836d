"""The correlation id of a request: in log lines, RPC calls, events, and the response's X-Request-Id."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from libs import context

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CLIENT_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


class Correlation:
    """WSGI middleware: gives each request the correlation id that its client sent, or a new one."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request."""
        given = environ.get("HTTP_X_REQUEST_ID", "")
        with context.work(given if CLIENT_ID.fullmatch(given) else None):
            return self.application(environ, start_response)
