"""Whether the program in this container works: `python -m ops.health PROGRAM`; exit code 0 means that it does.

A service must hold a connection to the broker (heartbeats close that of a process that hangs) and its calls a consumer;
the worker must be registered from this host, the scheduler anywhere; the gateway and the fake Stripe must answer.
"""

import os
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path

import redis

from libs.amqp.connection import connection_to
from libs.contracts.parts import SERVICES
from libs.errors import is_unavailable
from libs.settings import required

SECONDS = 5
ESTABLISHED = "01"  # Linux: include/net/tcp_states.h


def main() -> None:
    """Check the program that the command line names."""
    program = sys.argv[1]
    try:
        healthy = CHECKS[program]()
    except Exception as problem:
        if not is_unavailable(problem):
            raise
        sys.exit(f"{program}: {problem}")
    if not healthy:
        sys.exit(f"{program} is not healthy")


def consumes(service: str) -> bool:
    """Return whether this container is connected to the broker and the queue of calls to `service` has a consumer."""
    with closing(connection_to(required(f"{service.upper()}_AMQP_URL"), connect_seconds=SECONDS)) as broker:
        if not connected(broker.port or broker.get_transport_cls().default_port, connections()):
            return False
        return bool(broker.channel().queue_declare(f"rpc-{service}", passive=True).consumer_count)


def connections() -> Iterable[str]:
    """Yield the lines of the kernel's tables of this container's TCP connections (proc(5))."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(FileNotFoundError):
            yield from Path(table).read_text().splitlines()[1:]


def connected(port: int, lines: Iterable[str]) -> bool:
    """Return whether one of the connections in `lines` is open and leads to `port`."""
    rows = (line.split() for line in lines)
    return any(state == ESTABLISHED and int(remote.split(":")[1], 16) == port for _, _, remote, state, *_ in rows)


def schedules() -> bool:
    """Return whether a scheduler has reported within the last seconds that it runs."""
    with closing(_redis()) as jobs:
        return any(not jobs.hexists(key, "death") for key in jobs.scan_iter("rq:scheduler_instance:*"))


def works() -> bool:
    """Return whether a worker of this host is registered; one that stops or hangs loses its registration."""
    with closing(_redis()) as jobs:
        hosts = {jobs.hget(worker, "hostname") for worker in jobs.smembers("rq:workers")}
        return socket.gethostname().encode() in hosts


def answers(url: str) -> bool:
    """Return whether `url` answers with success."""
    with urllib.request.urlopen(url, timeout=SECONDS) as reply:  # noqa: S310 - this container's own
        return bool(reply.status == 200)


def _redis() -> redis.Redis:
    return redis.Redis.from_url(required("REDIS_URL"), socket_timeout=SECONDS, socket_connect_timeout=SECONDS)


def _of_service(service: str) -> Callable[[], bool]:
    return lambda: consumes(service)


CHECKS: dict[str, Callable[[], bool]] = {
    **{service: _of_service(service) for service in SERVICES},
    "scheduler": schedules,
    "worker": works,
    "gateway": lambda: answers(f"http://127.0.0.1:{os.environ.get('GATEWAY_PORT', '8000')}/healthz"),
    "fake-stripe": lambda: answers(f"http://127.0.0.1:{os.environ.get('FAKE_STRIPE_PORT', '12111')}/v3/"),
}

if __name__ == "__main__":
    main()
