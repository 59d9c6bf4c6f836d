"""A new version, one process after the other: no request is refused while every program is replaced.

A gateway is replaced as Kubernetes does it: no proxy sends it requests any more, then it is stopped, and the proxy gets
to know its successor once that is ready. The other programs are stopped and started.
"""

import time
from collections import Counter
from contextlib import contextmanager
from functools import partial

import pytest
import requests

from dev.stack.cluster import ONCE
from dev.stack.ports import SERVE_METRICS
from dev.testing import repeating, wait_for
from tests.cluster.buyers import buying
from tests.e2e import invariants
from tests.e2e.people import Person

pytestmark = [pytest.mark.integration, pytest.mark.timeout(2400)]

REQUESTS = 10_000
REPLACING_SECONDS = 1200
READERS = 6
PATHS = ["/api/tickets", "/tickets", "/api/orders", "/api/users/currentuser", "/api/tickets?limit=5"]
PROGRAMS = [name for name in SERVE_METRICS if name not in ONCE]


class Readers:
    """People who look at lists, tickets and their orders, with a session."""

    def __init__(self):
        self.statuses = Counter()
        self.failed = []
        self.sent_again = 0

    def read(self, person):
        """Look at each page once, and note what was not answered as it should be."""
        for path in PATHS:
            try:
                status = self._get(person, path).status_code
            except requests.RequestException as problem:
                status = repr(problem)
            self.statuses[status] += 1
            if status != 200:
                self.failed.append((time.monotonic(), path, status))

    def _get(self, person, path):
        """Return the answer to a GET, sent again as browsers do if the connection was closed before (RFC 9112, 9.3.1).

        A proxy that reloads its configuration closes idle connections, perhaps just when a request is sent over one.
        """
        try:
            return person.get(path)
        except requests.ConnectionError as problem:
            if "ConnectionResetError" in repr(problem) or "RemoteDisconnected" in repr(problem):
                self.sent_again += 1
                return person.get(path)
            raise


@contextmanager
def reading(cluster, sessions, number):
    """Let so many people read while the block runs; yield them."""
    readers = Readers()
    people = [sessions.begin(Person(cluster.gateway_url, "cy")) for _ in range(number)]
    with repeating([partial(readers.read, person) for person in people]):
        yield readers


def replace_all(cluster):
    for name in PROGRAMS:
        for copy in (name, f"{name}-2"):
            if name == "gateway":
                without = [address for address in cluster.gateways if address != cluster.gateway_address(copy)]
                cluster.proxy.pass_to(without)
            cluster.stop_program(copy)
            cluster.start_program(copy)
            cluster.wait_ready(copy, 120)
            if name == "gateway":
                cluster.proxy.pass_to(cluster.gateways)


def replace_until(cluster, is_enough):
    """Replace every program, again and again until it is enough; return how often."""
    rounds, until = 0, time.monotonic() + REPLACING_SECONDS
    while not rounds or not is_enough():
        assert time.monotonic() < until, f"not enough after every program was replaced {rounds} times"
        replace_all(cluster)
        rounds += 1
    return rounds


def made(readers, buyers):
    """Return how many requests people have made."""
    return readers.statuses.total() + len(buyers.notes.requests)


def test_no_request_is_refused_while_every_program_is_replaced(cluster, sessions):
    with buying(cluster, sessions, 2) as buyers, reading(cluster, sessions, READERS) as readers:
        wait_for(lambda: buyers.notes.bought, 60)
        rounds = replace_until(cluster, lambda: made(readers, buyers) >= REQUESTS)

    refused = [each for each in buyers.notes.requests if not 200 <= each[2] < 300]
    bought = len(buyers.notes.bought)
    print(f"{made(readers, buyers)} requests, {bought} tickets bought, each program replaced {rounds}×")
    print(f"{readers.sent_again} requests sent again because the proxy closed their connections")
    assert (refused, readers.failed, buyers.problems) == ([], [], [])
    invariants.check(cluster, 60)
    buyers.check_promises(cluster)
