"""A new version, one process after the other: no request is refused while every program is replaced.

A gateway is replaced as Kubernetes does it: no proxy sends it requests any more, then it is stopped, and the proxy gets
to know its successor once that is ready. The other programs are stopped and started.
"""

import threading
import time
from collections import Counter

import pytest
import requests

from dev.stack.cluster import ONCE
from dev.stack.ports import SERVE_METRICS
from dev.testing import wait_for
from tests.cluster.buyers import Buyers
from tests.e2e import invariants
from tests.e2e.people import Person

pytestmark = [pytest.mark.integration, pytest.mark.timeout(2400)]

REQUESTS = 10_000
THREADS = 6
PATHS = ["/api/tickets", "/tickets", "/api/orders", "/api/users/currentuser", "/api/tickets?limit=5"]
PROGRAMS = [name for name in SERVE_METRICS if name not in ONCE]


class Readers:
    """People who look at lists, tickets and their orders all the time, with a session."""

    def __init__(self, cluster, sessions):
        self.statuses = Counter()
        self.failed = []
        self._stopping = threading.Event()
        people = [sessions.begin(Person(cluster.gateway_url, "cy")) for _ in range(THREADS)]
        self._threads = [threading.Thread(target=self._read, args=(person,)) for person in people]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _read(self, person):
        while not self._stopping.is_set():
            for path in PATHS:
                try:
                    status = person.get(path).status_code
                except requests.RequestException as problem:
                    status = repr(problem)
                self.statuses[status] += 1
                if status != 200:
                    self.failed.append((time.monotonic(), path, status))


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


def test_no_request_is_refused_while_every_program_is_replaced(cluster, sessions):
    with Buyers(cluster, sessions, 2) as buyers, Readers(cluster, sessions) as readers:
        wait_for(lambda: buyers.notes.bought, 60)
        replace_all(cluster)
        wait_for(lambda: readers.statuses.total() + len(buyers.notes.requests) >= REQUESTS, 1200)

    refused = [each for each in buyers.notes.requests if not 200 <= each[2] < 300]
    print(
        f"{readers.statuses.total() + len(buyers.notes.requests)} requests, {len(buyers.notes.bought)} tickets bought"
    )
    assert (refused, readers.failed, buyers.problems) == ([], [], [])
    invariants.check(cluster, 60)
