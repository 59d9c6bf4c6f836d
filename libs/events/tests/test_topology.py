import json

import pytest
from kombu import Connection

from libs.amqp import Outgoing, Publisher
from libs.amqp.queues import queue_type
from libs.events import EVENTS, topology
from libs.testing import new_vhost, wait_for, waiting


def test_queues_are_classic_by_default():
    assert topology.listener_queue("orders", EVENTS["PaymentCreated"]).queue_arguments == {}


def test_quorum_queues_are_a_setting(monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "quorum")

    assert topology.listener_queue("orders", EVENTS["PaymentCreated"]).queue_arguments == {"x-queue-type": "quorum"}


def test_another_type_stops_the_start(monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "mirrored")

    with pytest.raises(SystemExit, match="classic or quorum"):
        queue_type()


def test_on_quorum_queues_an_event_is_routed_waits_for_its_retry_and_comes_home(servers, monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", "quorum")
    event = EVENTS["ExpirationComplete"]

    def declare(channel):
        topology.declare(channel, [event])
        topology.declare_retries(channel, [0.1])

    with new_vhost(servers) as amqp_url:
        publisher = Publisher(amqp_url, declare)
        queue = topology.queue_name("orders", event)
        first = Outgoing(event.exchange, event.name, json.dumps({"try": 1}).encode())
        again = Outgoing(topology.retry_name(0.1), queue, json.dumps({"try": 2}).encode())

        assert publisher.publish([first, again]) == {}

        wait_for(lambda: waiting(amqp_url, queue) == 2)
        publisher.close()


@pytest.mark.usefixtures("amqp_url")
def test_everything_may_be_declared_again(broker_url):
    with Connection(broker_url) as connection:
        for _ in range(2):
            topology.declare(connection.channel())
            topology.declare_retries(connection.channel(), (0.05, 0.1))
