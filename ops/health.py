"""Whether the program in this container works: `python -m ops.health PROGRAM [ready]`; exit code 0 means that it does.

It is alive while its own loop turns: a service then serves its metrics, the gateway and the fake Stripe answer, the
worker is registered from this host, and the scheduler from anywhere. Without the broker or another service each is
alive: to start it again would mend nothing. The set-up of the broker serves its metrics once it has succeeded. With
`ready`, a service must also be connected to the broker and answer a call, and the gateway must be connected to the
broker.
"""

import os
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from redis import Redis

from libs.amqp.connection import connection_to
from libs.contracts.parts import SERVICES
from libs.errors import is_unavailable
from libs.redis import connect
from libs.rpc import Client, RemoteError
from libs.settings import MissingSetting, metrics_address, required

SECONDS = 5
ESTABLISHED = "01"  # Linux: include/net/tcp_states.h


def main() -> None:
    """Check the program that the command line names."""
    program, *what = sys.argv[1:]
    try:
        healthy = (READY if what == ["ready"] else ALIVE)[program]()
    except Exception as problem:
        if not is_unavailable(problem):
            raise
        sys.exit(f"{program}: {problem}")
    if not healthy:
        sys.exit(f"{program} is not healthy")


def serves_metrics() -> bool:
    """Return whether the program answers on its metrics port, which it does in its own loop."""
    _, port = metrics_address()
    if port is None:
        raise MissingSetting("METRICS_PORT", "not set")
    return answers(f"http://127.0.0.1:{port}/metrics")


def is_callable(service: str) -> bool:
    """Return whether this container is connected to the broker; raise ServiceUnavailable if `service` does not answer.

    A call of a method that does not exist takes the whole way there and back, and occupies no worker.
    """
    amqp_url = required(f"{service.upper()}_AMQP_URL")
    with closing(connection_to(amqp_url)) as broker:
        if not connected(broker.port or broker.get_transport_cls().default_port, connections()):
            return False
    with closing(Client(amqp_url, service, SECONDS)) as client, suppress(RemoteError):
        client.call(service, "no_method")
    return True


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
    with closing(_redis("scheduler")) as jobs:
        return any(not jobs.hexists(key, "death") for key in jobs.scan_iter("rq:scheduler_instance:*"))


def works() -> bool:
    """Return whether a worker of this host is registered; one that stops or hangs loses its registration."""
    with closing(_redis("worker")) as jobs:
        hosts = {jobs.hget(worker, "hostname") for worker in jobs.smembers("rq:workers")}
        return socket.gethostname().encode() in hosts


def answers(url: str) -> bool:
    """Return whether `url` answers with success."""
    with urllib.request.urlopen(url, timeout=SECONDS) as reply:  # noqa: S310 - this container's own
        return bool(reply.status == 200)


def _redis(program: str) -> Redis:
    return connect(required(f"{program.upper()}_REDIS_URL"))


def _gateway_answers(path: str) -> bool:
    return answers(f"http://127.0.0.1:{os.environ.get('GATEWAY_PORT', '8000')}{path}")


ALIVE: dict[str, Callable[[], bool]] = {
    **dict.fromkeys((*SERVICES, "broker-setup"), serves_metrics),
    "scheduler": schedules,
    "worker": works,
    "gateway": partial(_gateway_answers, "/healthz"),
    "fake-stripe": lambda: answers(f"http://127.0.0.1:{os.environ.get('FAKE_STRIPE_PORT', '12111')}/v3/"),
}
READY: dict[str, Callable[[], bool]] = {
    **ALIVE,
    **{service: partial(is_callable, service) for service in SERVICES},
    "gateway": partial(_gateway_answers, "/readyz"),
}

if __name__ == "__main__":
    main()
