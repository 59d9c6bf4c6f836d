"""Purchases go on while a part of the cluster fails, and afterwards all guarantees hold.

What buyers noticed is printed in the end; a whole run writes docs/outages.md.
"""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pymongo
import pytest
import redis

from dev.stack.cluster import COPIES, NODES, ONCE, REDIS_SERVERS
from dev.stack.ports import SERVE_METRICS
from dev.testing import wait_for
from ops import redis_users
from tests.cluster.buyers import UNCERTAIN, buying
from tests.e2e import invariants

PAGE = Path(__file__).parents[2] / "docs/outages.md"
INTRODUCTION = """\
# Outages

What buyers notice while a part of a cluster fails: three RabbitMQ nodes, three MongoDB members, two Redis servers and
three Sentinels on three machines (network namespaces), two of each program, one proxy. `make test-cluster` writes this
page. {buyers} people buy one ticket after the other, {cores} cores run all of it, perhaps under other load, and each
fault lasts {seconds} s; a node that is isolated loses its RabbitMQ, MongoDB, Redis and Sentinel at once. Afterwards no
ticket, order or payment that was answered is lost, every copy equals its source, and every charge has its order.
"Refused" counts answers 502 to 504 and requests without an answer within 20 seconds; repeating one, with
the same Idempotency-Key, returns the result of the first; a repeated sign-up may ask to sign in instead.

"""
REASONS = """
## What takes how long

- **A node of RabbitMQ dies**: its queues have another leader within a second or two. Calls that it had taken get no
  answer: their callers wait until the deadline, 15 s for a payment.
- **A node of RabbitMQ hangs, or cannot be reached**: nobody can declare a queue, as each new connection does, until
  the node resumes or the others give up on it, in RabbitMQ 3 after a minute ([limits](events.md#quorum-queues)).
- **MongoDB's primary dies**: another is elected after 5 s without one. If it hangs instead, the new one waits as
  long again before it accepts writes.
- **A program hangs**: the broker gives its calls and events to the other copy after 10 to 15 s, and the proxy sends
  nothing to a gateway that has not answered for 3 s. Requests already sent to it wait until it resumes or the client
  gives up, here after 20 s.
- **Redis or a Sentinel dies or hangs**: nobody waits, since deadlines are stored in MongoDB.
"""
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

BUYERS = 3
FAULT_SECONDS = 20
"""How long a fault lasts: longer than it takes to notice anything except a broker that hangs."""
BACK_SECONDS = 300
"""How long a broker may take to start."""
PROGRAMS = [name for name in SERVE_METRICS if name not in ONCE]
MEMBERS = [
    *(f"rabbitmq-{number}" for number in range(1, NODES + 1)),
    *(f"mongo-{number}" for number in range(1, NODES + 1)),
    *(f"redis-{number}" for number in range(1, REDIS_SERVERS + 1)),
    "sentinel-1",
]


@contextmanager
def nothing(_cluster, _network):
    yield


def killed(name):
    @contextmanager
    def kill(cluster, _network):
        cluster.kill_for_good(name)
        yield
        cluster.start_program(name)

    return kill


def paused(name):
    @contextmanager
    def pause(cluster, _network):
        pid = cluster.pid(name)
        os.killpg(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(pid, signal.SIGCONT)

    return pause


def isolated(number):
    @contextmanager
    def isolate(_cluster, network):
        network.cut_off(number)
        try:
            yield
        finally:
            network.connect(number)

    return isolate


@contextmanager
def stepped_down(cluster, _network):
    with pymongo.MongoClient(cluster.mongo_url("admin")) as mongo:
        mongo.admin.command("replSetStepDown", 30)
    yield


@contextmanager
def failed_over(cluster, _network):
    node, password = cluster.nodes[0], cluster.secrets["REDIS_PASSWORD"]
    with redis.Redis(node.host, node.ports.sentinel, username=redis_users.ADMINISTRATOR, password=password) as sentinel:
        sentinel.sentinel_failover(redis_users.PRIMARY)
    yield


FAULTS = {
    "nothing": nothing,
    **{f"{name} killed": killed(name) for name in MEMBERS},
    **{f"{name} paused": paused(name) for name in MEMBERS},
    **{f"node {number} isolated": isolated(number) for number in range(1, NODES + 1)},
    "MongoDB's primary steps down": stepped_down,
    "Redis fails over": failed_over,
    **{f"one of {COPIES} {name} killed": killed(name) for name in PROGRAMS},
    **{f"one of {COPIES} {name} paused": paused(name) for name in PROGRAMS},
}


@pytest.fixture(scope="module")
def table(pytestconfig):
    """A list for the rows of the table, which is printed in the end, and published when it is complete."""
    rows = []
    yield rows
    head = ["fault", "longest without a purchase", "longest answer", "requests", "refused"]
    text = "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
    if len(rows) == len(FAULTS):
        introduction = INTRODUCTION.format(buyers=BUYERS, seconds=FAULT_SECONDS, cores=os.cpu_count())
        PAGE.write_text(f"{introduction}{text}\n{REASONS}")
    with pytestconfig.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{text}")


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_all_invariants_hold_with(fault, cluster, network, sessions, table):
    with buying(cluster, sessions, BUYERS) as buyers:
        table.append(row(fault, *during(FAULTS[fault](cluster, network), cluster, buyers)))

    assert buyers.problems == []
    invariants.check(cluster, 60)
    buyers.check_promises(cluster)


def during(fault, cluster, buyers):
    """Let people buy before a fault, for some time with it and until it is over; return what they noted meanwhile."""
    wait_for(lambda: len(buyers.notes.bought) >= BUYERS, BACK_SECONDS, "the first tickets to be bought")
    began = time.monotonic()
    with fault:
        time.sleep(FAULT_SECONDS)  # it is measured what happens meanwhile
    all_are_back(cluster)
    healed = time.monotonic()
    wait_for(lambda: len([moment for moment in buyers.notes.bought if moment > healed]) >= BUYERS, BACK_SECONDS)
    return buyers.notes, began, time.monotonic()


def all_are_back(cluster):
    for name in cluster.programs:
        cluster.wait_ready(name, BACK_SECONDS)


def row(fault, notes, began, ended):
    answered = [each for each in notes.requests if each[0] + each[1] >= began and each[0] <= ended]
    refused = [status for _, _, status in answered if status in (0, *UNCERTAIN)]
    slowest = max(seconds for _, seconds, _ in answered)
    return [
        fault,
        f"{notes.longest_gap(began, ended):.1f} s",
        f"{slowest:.1f} s",
        str(len(answered)),
        str(len(refused)),
    ]
