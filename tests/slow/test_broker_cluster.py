"""A cluster of three brokers with quorum queues: they die, and no event and no service dies with them."""

import threading
from contextlib import ExitStack, closing, suppress
from dataclasses import replace

import pymongo
import pytest

from dev.stack import Stack, free_ports
from dev.stack.servers import rabbitmq
from dev.testing import nameko_service, stack_folder, wait_for
from libs.amqp import Publisher
from libs.events import Aggregates, Relay
from libs.events.tests.bakery.catalogue import CATALOGUE, LoafBaked
from libs.rpc import Client, ServiceUnavailable
from libs.tokens import new_key

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

EVENTS = 200
JOIN = """\
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = ticketing@localhost
"""


AFTER = 'until > /dev/tcp/127.0.0.1/"$1"; do sleep 0.1; done 2> /dev/null; shift; exec "$@"'
"""A command of bash that waits until a port is open: brokers that join a cluster at once may not see each other."""


def two_more(stack):
    """Return two brokers that join the stack's own when they start, one after the other."""
    second, third = (another_broker(stack, name) for name in ("second", "third"))
    return [second, replace(third, command=["bash", "-c", AFTER, "-", second.environment["AMQP_PORT"], *third.command])]


def another_broker(stack, name):
    folder, ports = stack.folder / name, replace(free_ports(), epmd=stack.ports.epmd)
    (folder / "conf.d").mkdir(parents=True)
    (folder / "conf.d" / "cluster.conf").write_text(JOIN)
    broker = rabbitmq(folder, ports, stack.secrets["RABBITMQ_PASSWORD"], node=f"{name}@localhost")
    home = str(stack.folder / "rabbitmq")  # where the cookie is that all share
    environment = {**broker.environment, "HOME": home, "AMQP_PORT": str(ports.amqp)}
    return replace(broker, name=name, environment=environment)


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "quorum")
    with stack_folder() as folder, Stack(folder, free_ports(), programs=two_more) as stack:
        wait_for(lambda: sum(node["running"] for node in stack.management("GET", "/api/nodes").json()) == 3, 30)
        yield stack


def addresses(stack):
    """Return the address of all brokers, the stack's own first."""
    ports = [stack.programs[name].environment["AMQP_PORT"] for name in ("second", "third")]
    first = stack.amqp_url
    return ";".join([first, *(first.replace(f":{stack.ports.amqp}/", f":{port}/") for port in ports)])


def a_loaf(number):
    ident = f"b{number}"
    return {"id": ident, "version": 1, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}


def test_events_and_calls_go_on_while_one_of_three_brokers_is_dead(cluster):
    url, mongo_url = addresses(cluster), cluster.mongo_url("probe")
    settings = {"AMQP_URI": url, "MONGO_URL": mongo_url, "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1]}
    with ExitStack() as stack:
        for module, queue in (("libs.events.tests.crash_probe:Ours", "labels.LoafBaked"),
                              ("libs.rpc.tests.probe:Probe", "rpc-probe")):  # fmt: skip
            stack.enter_context(nameko_service(module, queue, **settings))
        mongo = stack.enter_context(pymongo.MongoClient(mongo_url, tz_aware=True))
        loaves, client = Aggregates(mongo.probe.loaves), Client(url, "gateway", timeout=20)
        relay = Relay(Publisher(url, CATALOGUE.declare), [loaves])
        thread = threading.Thread(target=relay.run)
        for clean_up in (client.close, relay.publisher.close, thread.join, relay.stop):  # the last one first
            stack.callback(clean_up)
        thread.start()
        assert client.call("probe", "echo", {"value": "all three"}) == "all three"
        queue = "/api/queues/%2F/labels.LoafBaked"
        wait_for(lambda: len(cluster.management("GET", queue).json().get("online", ())) == 3, 30, "three members")

        for number in range(EVENTS):
            loaves.add(a_loaf(number), LoafBaked, a_loaf(number))
            if number == EVENTS // 2:
                cluster.kill_for_good("rabbitmq")

        finished = {"service": "ours", "what": "finished"}
        wait_for(lambda: len(mongo.probe.notes.distinct("event", finished)) == EVENTS, 60, "all events to be handled")
        assert wait_for(lambda: echo_or_none(client, "two")) == "two"
        wait_for(lambda: loaves.collection.count_documents({"outbox_at": {"$exists": True}}) == 0)


def test_calls_are_answered_while_the_leader_of_their_queue_stays_dead(cluster):
    url = addresses(cluster)
    with (
        nameko_service("libs.rpc.tests.probe:Probe", "rpc-probe", AMQP_URI=url, TOKEN_PUBLIC_KEYS=new_key("auth:1")[1]),
        closing(Client(url, "gateway", timeout=2)) as client,
    ):
        queue = "/api/queues/%2F/rpc-probe"
        wait_for(lambda: len(cluster.management("GET", queue).json().get("online", ())) == 3, 30, "three members")
        for name in ("rabbitmq", "third"):  # most of them, so that no other leader is chosen before the first call
            cluster.kill_for_good(name)
        with pytest.raises(ServiceUnavailable):
            echo(client, "one")

        cluster.start_program("third")
        cluster.wait_ready("third")

        assert wait_for(lambda: echo_or_none(client, "two"), 60) == "two"


def echo(client, value):
    return client.query("probe", "echo", {"value": value})


def echo_or_none(client, value):
    with suppress(ServiceUnavailable):
        return echo(client, value)
