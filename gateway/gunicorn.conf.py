"""How gunicorn runs the gateway: `gunicorn -c gateway/gunicorn.conf.py "gateway.app:create_app()"`."""

import fcntl
import gc
import os
import shutil
import signal
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from gateway import settings
from libs import logs
from libs.processes import allow_open_files, die_with_parent

METRICS = "ticketing-metrics-"


def new_folder() -> tuple[str, Any]:
    """Return a new folder and the lock that this process and its workers hold in it as long as any of them lives.

    Folders that nobody holds, as their masters were killed, are deleted: a container keeps them across restarts.
    """
    for lock in Path(tempfile.gettempdir()).glob(f"{METRICS}*/lock"):
        with suppress(OSError), lock.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=METRICS))
    held = (folder / "new").open("a")
    fcntl.flock(held, fcntl.LOCK_EX)
    (folder / "new").rename(folder / "lock")
    return str(folder), held


if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):  # where each worker counts; prometheus_client looks when imported
    os.environ["PROMETHEUS_MULTIPROC_DIR"], metrics_lock = new_folder()

with logs.logging_exit():
    logs.set_up()
    settings.check_metrics_folder()
    bind = settings.bind()
worker_class = "gateway.worker.Worker"  # gevent, with error responses of our own
workers = 2
CONNECTIONS, OTHER_FILES = 4000, 200
"""How many connections a worker accepts, and how many files and sockets it has open beside them.

A connection that waits in a rush takes 30 kB, one that a browser or a proxy keeps open up to 24 kB. Further clients
wait until one is closed.
"""
worker_connections = min(CONNECTIONS, allow_open_files(CONNECTIONS + OTHER_FILES) - OTHER_FILES)
preload_app = False  # each worker opens its own connections, after the fork and gevent's patching
timeout = 30  # a worker whose event loop is blocked for so long is replaced
control_socket_disable = True  # its default path is shared by every gunicorn of a user
keepalive = 5  # of browsers; see gateway/worker.py for that of proxies
graceful_timeout = 25  # a payment may take 15 s, and 5 s more for its outcome
forwarder_headers = ""  # no proxy sets SCRIPT_NAME or PATH_INFO for us
secure_scheme_headers: dict[str, str] = {}  # GATEWAY_PROXIES decides whether a proxy is trusted (gateway/proxies.py)
forwarded_allow_ips = "*"  # nobody may set any, by the lines above: so no client's address has to be parsed
limit_request_line = 8190  # as long as gunicorn allows: a search in any script, each letter up to twelve characters
logger_class = "gateway.logger.Logger"
accesslog = "-"  # gateway.logger chooses what is logged of it
SHARED = (
    *("apispec", "babel.dates", "babel.numbers", "cryptography.hazmat.primitives.asymmetric.ed25519", "flask"),
    *("flask_compress", "flask_login", "jinja2.ext", "markdown_it", "marshmallow", "orjson", "segno", "yaml"),
)
"""Modules that the workers share in memory: libraries without blocking or sockets, so that gevent may patch later."""


def on_starting(server: Any) -> None:
    """Stop when a setting is missing or invalid: gunicorn would restart failing workers for ever. Import SHARED."""
    with logs.logging_exit():
        settings.Settings.read(os.environ)
    if worker_connections < CONNECTIONS:
        server.log.warning("only %d connections for each worker: `ulimit -Hn` allows no more", worker_connections)
    for library in SHARED:
        import_module(library)
    gc.collect()
    gc.freeze()  # else each garbage collection would write to the shared pages, and so copy them


def when_ready(_server: Any) -> None:
    """Serve the metrics of all workers from this process."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    from libs import internal_port

    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    internal_port.serve(registry=registry)  # the workers answer probes themselves


def post_fork(_server: Any, worker: Any) -> None:
    """End with the master, however that ends: a worker that outlives it keeps the ports from the next master.

    A worker of gunicorn looks for its parent by itself, but only while its event loop turns.
    """
    die_with_parent(signal.SIGKILL)
    if os.getppid() != worker.ppid:  # it ended before that
        os.kill(os.getpid(), signal.SIGKILL)


def post_worker_init(_worker: Any) -> None:
    """Set up the log again, with locks that gevent has patched; spare garbage collections what was imported."""
    logs.set_up()
    gc.freeze()


def worker_exit(_server: Any, _worker: Any) -> None:
    """Let a worker end as if nothing had been frozen: else loggers are freed after the modules that they need."""
    gc.unfreeze()


def on_exit(_server: Any) -> None:
    """Delete the files with the workers' metrics."""
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


def child_exit(_server: Any, worker: Any) -> None:
    """Remove the gauges of a worker that ended; its counters stay."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)
