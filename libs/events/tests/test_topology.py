import json
from contextlib import closing
from datetime import UTC, datetime
from functools import partial

import pytest
from kombu import Connection

from dev.testing import new_vhost, queue_length, wait_for
from libs.amqp import Outgoing, Publisher
from libs.amqp.queues import queue_type
from libs.events import topology
from libs.events.parking import Parking, Selection
from libs.events.tests.bakery.catalogue import CATALOGUE

ALL_QUEUES = CATALOGUE.queue_names()


def queue_arguments():
    return vars(topology.listener_queue("labels", CATALOGUE["LoafSold"]))["queue_arguments"]


def test_queues_are_classic_by_default():
    assert queue_arguments() == {}


def test_quorum_queues_are_a_setting(monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "quorum")

    assert queue_arguments()["x-queue-type"] == "quorum"


def test_parked_events_may_be_listed_any_number_of_times(servers, monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "quorum")
    parked = topology.parked_name("labels.LoafBaked")
    with new_vhost(servers) as amqp_url, closing(Publisher(amqp_url, CATALOGUE.declare)) as publisher:
        publisher.publish([Outgoing("", parked, b"{}", {}, "e1")])

        seen = [Parking(amqp_url, ALL_QUEUES).show(Selection("labels.LoafBaked")) for _ in range(4)]

        vhost = amqp_url.rpartition("/")[2]
        arguments = servers.management("GET", f"/api/queues/{vhost}/{parked}").json()["arguments"]
    assert [[event.event_id for event in shown] for shown in seen] == [["e1"]] * 4
    assert arguments["x-delivery-limit"] == topology.UNLIMITED  # by default RabbitMQ 4 drops them after 20


def test_an_unknown_queue_type_stops_the_start(monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "mirrored")

    with pytest.raises(SystemExit, match="classic or quorum"):
        queue_type()


def test_on_quorum_queues_an_event_is_routed_waits_for_its_retry_and_returns(servers, monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "quorum")
    event = CATALOGUE["LoafBaked"]

    def declare(channel):
        CATALOGUE.declare(channel)
        topology.declare_waits(channel, "labels", [0.1])

    with new_vhost(servers) as amqp_url:
        publisher = Publisher(amqp_url, declare)
        queue = topology.queue_name("labels", event)
        first = Outgoing(event.exchange, event.name, json.dumps({"try": 1}).encode())
        again = Outgoing(topology.wait_name("labels", 0.1), queue, json.dumps({"try": 2}).encode())

        assert publisher.publish([first, again]) == {}

        wait_for(lambda: queue_length(amqp_url, queue) == 2)
        publisher.close()


def test_an_event_that_is_never_acknowledged_is_parked_by_a_quorum_queue(servers, monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "quorum")
    monkeypatch.setattr(topology, "DELIVERY_LIMIT", 2)
    event = CATALOGUE["LoafBaked"]
    queue = topology.queue_name("labels", event)
    with new_vhost(servers) as amqp_url, closing(Publisher(amqp_url, CATALOGUE.declare)) as publisher:
        publisher.publish([Outgoing(event.exchange, event.name, b'{"try": 1}', {}, "deadly")])
        for _ in range(3):
            with Connection(amqp_url) as connection:  # taken, and the connection lost before it is acknowledged
                wait_for(partial(connection.channel().basic_get, queue))

        wait_for(lambda: Parking(amqp_url, ALL_QUEUES).count() == {queue: 1})
        (parked,) = Parking(amqp_url, ALL_QUEUES).show(Selection(queue))
        assert (parked.event_id, parked.body, parked.attempts) == ("deadly", '{"try": 1}', 2)
        assert parked.reason.startswith("NeverAcknowledged: delivered 2 times")
        assert datetime.fromisoformat(parked.failed_at) <= datetime.now(UTC)
        assert Parking(amqp_url, ALL_QUEUES).replay(Selection(queue)) == (1, 0)
        wait_for(lambda: queue_length(amqp_url, queue) == 1)


def test_an_event_that_is_looked_at_too_often_while_it_waits_is_retried_early_and_not_lost(servers):
    queue, wait = "labels.LoafBaked", topology.wait_name("labels", 60.0)
    with new_vhost(servers) as amqp_url:
        policy = {"pattern": "wait", "definition": {"delivery-limit": 2}, "apply-to": "queues"}
        servers.management("PUT", f"/api/policies/{amqp_url.rpartition('/')[2]}/as-rabbitmq-4-limits-it", json=policy)
        with Connection(amqp_url) as connection:
            CATALOGUE.declare(connection.channel())
            topology.declare_waits(connection.channel(), "labels", [60.0])
        with closing(Publisher(amqp_url)) as publisher:
            assert publisher.publish([Outgoing(wait, queue, b"{}", {"x-attempt": 21}, "e1")]) == {}

        seen = [len(Parking(amqp_url, waits=[wait]).stuck()) for _ in range(3)]

        wait_for(lambda: queue_length(amqp_url, queue) == 1)
    assert seen == [1, 1, 1]


@pytest.mark.usefixtures("amqp_url")
def test_everything_may_be_declared_again(broker_url):
    with Connection(broker_url) as connection:
        for _ in range(2):
            CATALOGUE.declare(connection.channel())
            topology.declare_waits(connection.channel(), "labels", (0.05, 0.1))
