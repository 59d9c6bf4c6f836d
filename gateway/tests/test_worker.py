"""How workers share what comes at once."""

import socket
from collections import Counter
from contextlib import ExitStack, closing

import gevent
from gevent.socket import socket as CooperativeSocket

from gateway.worker import Server

CONNECTIONS = 20


def test_buyers_who_come_at_once_are_shared_among_the_workers():
    accepted: Counter[str] = Counter()

    def worker(name):
        return Server(listening.dup(), lambda *_: accepted.update([name]))

    with ExitStack() as opened:
        listening = opened.enter_context(closing(CooperativeSocket()))
        listening.bind(("127.0.0.1", 0))
        listening.listen(CONNECTIONS)
        for name in ("first", "second"):
            opened.enter_context(closing(worker(name))).start()
        for _ in range(CONNECTIONS):  # which do not let the workers run yet
            opened.enter_context(socket.create_connection(listening.getsockname()))
        with gevent.Timeout(5):
            while accepted.total() < CONNECTIONS:
                gevent.sleep(0)

    assert min(accepted["first"], accepted["second"]) >= CONNECTIONS / 4
