"""The internal port of a program: its metrics, for Prometheus, and whether it works, for probes.

`/metrics`; `/healthz`: 200 while its event loop responds, even if everything else is unreachable; `/readyz`: 200 while
everything that its work needs is reachable, else 503. It is not published: only containers on the same networks reach
it.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from libs import metrics
from libs.errors import Unavailable, log_failure
from libs.settings import MissingSetting, metrics_address

log = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
"""How long a check may take; all checks of a program together take less than a probe waits (`ops/health.py`)."""

NEVER_STOPPED_SECONDS = 3600.0
"""How often the server wakes up to check whether it is to stop."""

Check = Callable[[], object]
"""Raises when what it checks does not work."""


class Stalled(Unavailable):
    """The loop of a program has not turned for too long."""


class Loop:
    """When the main loop of a program last turned; the check runs in another thread."""

    def __init__(self, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds
        self.turned()

    def turned(self) -> None:
        """Note that it turns."""
        self._turned_at = time.monotonic()

    def check(self) -> None:
        """Raise Stalled if it has not turned for longer than a turn may take."""
        if time.monotonic() - self._turned_at > self._longest_seconds:
            raise Stalled(f"it has not turned for {self._longest_seconds:.0f} seconds")


def serve(
    ready: Mapping[str, Check] | None = None,
    alive: Mapping[str, Check] | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> None:
    """Serve it on METRICS_HOST and METRICS_PORT until the process ends; without a port, nothing.

    `ready` and `alive` are checks by what they check. Without `ready` there is no `/readyz`. Stops the start when
    nothing can listen there, as when the port is taken.
    """
    host, port = metrics_address()
    if port is None:
        return
    if registry is REGISTRY:  # else other processes count, and measure themselves
        metrics.when_read(metrics.event_loop_lag_seconds, metrics.measure_loop)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        server_class: type[WSGIServer] = type("_Server", (ThreadingWSGIServer,), {"address_family": family})
        server = make_server(host, port, _application(ready, alive or {}, registry), server_class, _SilentHandler)
    except OSError as error:
        problem = f"{port}, where METRICS_HOST, {host}, cannot listen ({error.strerror})"
        raise MissingSetting("METRICS_PORT", problem) from error
    serve_for_ever = partial(server.serve_forever, poll_interval=NEVER_STOPPED_SECONDS)
    threading.Thread(target=serve_for_ever, name="internal-port", daemon=True).start()


def _application(ready: Mapping[str, Check] | None, alive: Mapping[str, Check], registry: CollectorRegistry) -> Any:
    show_metrics = make_wsgi_app(registry)
    checks = {"/healthz": alive, **({} if ready is None else {"/readyz": ready})}

    def respond(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return show_metrics(environ, start_response)
        failed = _failing(checks[path]) if path in checks else ["no such page"]
        status = "200 OK" if not failed else "503 Service Unavailable" if path in checks else "404 Not Found"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({"failed": failed}).encode()]

    return respond


def _failing(checks: Mapping[str, Check]) -> list[str]:
    failed = []
    for name, check in checks.items():
        try:
            check()
        except Exception as error:  # noqa: BLE001 - whatever it is, this does not work
            log_failure(log, error, "not ready: %s", name)
            failed.append(name)
    return failed


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so the base class calls it
        """Log nothing: a probe asks every few seconds."""
