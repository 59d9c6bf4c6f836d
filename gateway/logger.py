"""The log of gunicorn, its errors and a line for each request, as part of the gateway's log."""

import logging
from datetime import timedelta
from typing import Any

from gunicorn import glogging

from libs import logs

SLOW = timedelta(seconds=1)
ERROR = "gateway.error"
"""In a WSGI environment: the name of the error that a request was answered with."""


class Logger(glogging.Logger):
    """Passes everything on to the root logger, that of gunicorn's master too; requests with fields of their own."""

    def setup(self, cfg: Any) -> None:
        """Write to no file or stream of its own."""
        self.cfg = cfg
        logs.set_up()
        self.error_log.propagate = self.access_log.propagate = True

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log a request: never its query or headers, which may hold secrets.

        One that only reads, has no error and is not slow is logged at DEBUG: the metrics count it, and nobody reads it.
        """
        status = int(str(resp.status).split(None, 1)[0])
        is_dull = status < 400 and environ.get("REQUEST_METHOD") in ("GET", "HEAD") and request_time < SLOW
        level = logging.DEBUG if is_dull else logging.INFO
        if not self.access_log.isEnabledFor(level):
            return
        headers = {name.lower(): value for name, value in resp.headers}
        about = {
            "correlation_id": headers.get("x-request-id", ""),
            "client": environ.get("REMOTE_ADDR"),
            "method": environ.get("REQUEST_METHOD"),
            "path": str(environ.get("PATH_INFO")).encode("latin-1").decode(errors="replace"),
            "status": status,
            "bytes": getattr(resp, "sent", None),
            "ms": round(request_time / timedelta(milliseconds=1)),
        }
        about |= {"error": environ[ERROR]} if ERROR in environ else {}
        self.access_log.log(level, "request", extra=about)
