"""What gunicorn logs, its errors and a line for each request, in the log that the whole gateway has."""

from datetime import timedelta
from typing import Any

from gunicorn import glogging

from libs import logs


class Logger(glogging.Logger):
    """Passes everything on to the root logger, also what gunicorn's master says; requests with fields of their own."""

    def setup(self, cfg: Any) -> None:
        """Write to no file or stream of its own."""
        self.cfg = cfg
        logs.set_up()
        self.error_log.propagate = self.access_log.propagate = True

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log a request: never its query or headers, which may hold secrets."""
        headers = {name.lower(): value for name, value in resp.headers}
        about = {
            "correlation_id": headers.get("x-request-id", ""),
            "client": environ.get("REMOTE_ADDR"),
            "method": environ.get("REQUEST_METHOD"),
            "path": str(environ.get("PATH_INFO")).encode("latin-1").decode(errors="replace"),
            "status": int(str(resp.status).split(None, 1)[0]),
            "bytes": getattr(resp, "sent", None),
            "ms": round(request_time / timedelta(milliseconds=1)),
        }
        self.access_log.info("request", extra=about)
