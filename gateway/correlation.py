"""The id that ties together what one request causes: in log lines, calls, events, and the answer's X-Request-Id."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from libs import context

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

GIVEN = re.compile(r"[A-Za-z0-9-]{8,64}")


class Correlation:
    """WSGI middleware: runs each request as one piece of work, under the id its client gave or a new one."""

    def __init__(self, application: "WSGIApplication") -> None:
        self.application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        given = environ.get("HTTP_X_REQUEST_ID", "")
        with context.work(given if GIVEN.fullmatch(given) else None):
            return self.application(environ, start_response)
