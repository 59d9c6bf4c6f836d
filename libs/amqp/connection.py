"""Opening connections to RabbitMQ: with a deadline, to the first broker that answers, over TLS with `amqps://`.

A URL may name several brokers, separated by `;`: each is tried once, in turn. With `amqps://` the broker must show a
certificate for its name, signed by the CA in the file AMQP_CA_FILE, or by one that the system trusts if that is unset.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import kombu

from libs.amqp.raw_messages import Connection
from libs.settings import ca_file
from libs.threads import let_others_run

CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 5.0
FAREWELL_SECONDS = 0.1
"""How long closing TLS, which py-amqp waits for, may take."""
SHORTEST_SECONDS = 0.001
"""The shortest timeout of a socket; zero would make it non-blocking."""
BLOCKED = "the broker accepts nothing now"
"""Part of the message of an error that a broker with an alarm of memory or disk causes."""
RECEIVED_BYTES = 16384
PAUSE_BYTES = 8192
"""How many bytes are read before others have their turn: some ten events, which take a few milliseconds."""


class _Failover(Connection):
    """A connection that verifies each of its brokers by that broker's own name."""

    def switch(self, conn_str: str) -> None:
        """Switch to another broker; kombu would expect the name of the first one in every certificate."""
        if isinstance(self.ssl, dict):
            self.ssl["server_hostname"] = None
        super().switch(conn_str)  # type: ignore[no-untyped-call]


def connection_to(amqp_url: str, heartbeat: int = 0, connect_seconds: float = CONNECT_SECONDS) -> Connection:
    """Return a connection that is not open yet."""
    options = tls_options(amqp_url)
    return _Failover(amqp_url, heartbeat=heartbeat, connect_timeout=connect_seconds, ssl=options)  # type: ignore[no-untyped-call]


def tls_options(amqp_url: str) -> dict[str, Any] | None:
    """Return kombu's option `ssl` for an address, None without TLS."""
    if not amqp_url.startswith("amqps://"):
        return None
    # without a name kombu fills in that of the broker, and without cert_reqs nothing would be checked
    return {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": ca_file("AMQP"), "server_hostname": None}


def connect(
    amqp_url: str, heartbeat: int = 0, connect_seconds: float = CONNECT_SECONDS, seconds: float | None = None
) -> Connection:
    """Return an open connection; raise kombu's OperationalError when no broker answers.

    Each broker has `connect_seconds` to answer, and an equal part of `seconds`, so that one that hangs leaves time for
    the next.
    """
    if seconds is not None:
        connect_seconds = min(connect_seconds, seconds / (amqp_url.count(";") + 1))
    connection = connection_to(amqp_url, heartbeat, connect_seconds)
    open_once(connection)
    return connection


@contextmanager
def connected(amqp_url: str, heartbeat: int, connect_seconds: float = CONNECT_SECONDS) -> Iterator[Connection]:
    """Yield an open connection while the block runs; after an error it is discarded, as the broker may hang."""
    with connect(amqp_url, heartbeat, connect_seconds) as connection:
        try:
            yield connection
        except Exception:
            discard(connection)
            raise


def open_once(connection: Connection) -> None:
    """Try each broker of a connection once; raise OperationalError when none answers.

    From then on every wait for the broker times out if it stops answering, even one for a channel or a declaration.
    """
    connection.ensure_connection(max_retries=max(len(connection.alt), 1) - 1)
    transport = connection.connection.transport
    transport.sock.settimeout(SILENCE_SECONDS)
    transport._quick_recv = _Receiving(transport._quick_recv)


def discard(connection: kombu.Connection | None) -> None:
    """Close a connection, however broken, without telling the broker, which may hang."""
    if connection is None:
        return
    with suppress(Exception):
        broker: Any = connection._connection
        broker.transport.sock.settimeout(FAREWELL_SECONDS)
    with suppress(Exception):
        connection.collect()


class _Receiving:
    """Receives at least a byte, and everything that has arrived: py-amqp would make six system calls for a message.

    Now and then it lets others have their turn: a flood of messages would hold up all other greenlets.
    """

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive, self._since_pause = receive, 0

    def __call__(self, size: int) -> bytes:
        if self._since_pause >= PAUSE_BYTES:
            self._since_pause = 0
            let_others_run()
        received = self._receive(max(size, RECEIVED_BYTES))
        self._since_pause += len(received)
        return received
