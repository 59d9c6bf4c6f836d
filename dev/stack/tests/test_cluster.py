"""What a cluster consists of; `make test-cluster` runs one."""

import os
import re
from itertools import chain

import pytest

from dev.stack import Stack
from dev.stack import stack as stacks
from dev.stack.cluster import COPIES, ONCE, Cluster, copies_of_all
from dev.stack.programs import commands
from libs.redis import connect


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path / "some folder", environ={})


@pytest.fixture
def programs(cluster):
    return {program.name: program for program in copies_of_all(cluster)}


def test_there_are_two_of_each_program_with_ports_of_their_own(cluster, programs):
    ports = [
        (setting, program.environment[setting])
        for program in programs.values()
        for setting in ("GATEWAY_PORT", "METRICS_PORT")
        if setting in program.environment
    ]

    assert len(programs) == sum(1 if name in ONCE else COPIES for name in commands(cluster))
    assert len({port for _, port in ports}) == len(ports)
    assert str(cluster.ports.gateway) not in {port for _, port in ports}  # that is the proxy's


def test_programs_know_all_nodes_and_copies_prefer_different_brokers(cluster, programs):
    first, second = (programs[name].environment for name in ("expiration", "expiration-2"))
    brokers = [re.findall(r"@([\d.:]+)/", each["EXPIRATION_AMQP_URL"]) for each in (first, second)]

    assert sorted(brokers[0]) == sorted(brokers[1]) == sorted(f"127.0.0.1:{node.ports.amqp}" for node in cluster.nodes)
    assert brokers[0][0] != brokers[1][0]
    assert ",".join(cluster.mongo_members) in first["EXPIRATION_MONGO_URL"]
    with connect(first["EXPIRATION_REDIS_URL"]) as redis:
        sentinels = redis.connection_pool.sentinel_manager.sentinels
    asked = [sentinel.connection_pool.connection_kwargs["port"] for sentinel in sentinels]
    assert asked == [node.ports.sentinel for node in cluster.nodes]


def test_only_who_may_see_an_election_waits_to_be_told_of_one(cluster, tmp_path):
    assert "serverMonitoringMode" not in cluster.mongo_url_for("orders")
    assert "serverMonitoringMode=poll" in Stack(tmp_path, environ={}).mongo_url_for("orders")


def test_queues_are_quorum_queues_for_every_program_and_for_who_declares_them_first(cluster, programs, monkeypatch):
    monkeypatch.delenv("QUEUE_TYPE", raising=False)
    declared_as = []
    monkeypatch.setattr(stacks, "set_up", lambda *_: iter([declared_as.append(os.environ["QUEUE_TYPE"])]))

    cluster._set_up_broker()

    services = [each for name, each in programs.items() if name != "fake-stripe"]
    assert {program.environment["QUEUE_TYPE"] for program in services} == {*declared_as} == {"quorum"}
    assert "QUEUE_TYPE" not in os.environ


def test_each_server_is_on_every_node_and_the_proxy_passes_to_every_gateway(cluster):
    servers = {program.name for program in cluster._servers()}
    text = (cluster.folder / "proxy" / "Caddyfile").read_text()

    names = chain(*([f"{name}-{number}" for name in ("rabbitmq", "mongo", "sentinel")] for number in (1, 2, 3)))
    assert servers == {*names, "redis-1", "redis-2", "epmd-1", "proxy"}
    assert f"reverse_proxy {' '.join(cluster.gateways)} {{" in text and len(cluster.gateways) == COPIES
    assert f'admin "unix/{cluster.folder}/proxy/admin.sock"' in text
    assert "default_bind 127.0.0.1" in text and "health_uri /healthz" in text
