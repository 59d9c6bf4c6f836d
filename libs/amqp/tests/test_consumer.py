import json
import logging
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from types import SimpleNamespace

import pytest
from amqp.exceptions import ConnectionForced
from kombu import Queue

from dev.fork_server import Service
from dev.testing import nameko_service, wait_for
from libs.amqp import Outgoing, Publisher
from libs.amqp.consumer import QueueConsumer
from libs.events import topology
from libs.events.tests.bakery.catalogue import LoafBaked
from libs.rpc import Client
from libs.tests.tcp_proxy import TcpProxy
from libs.tokens import new_key


@pytest.mark.lengthy
def test_no_password_is_logged_when_brokers_are_lost(caplog):
    consumer = QueueConsumer()
    consumer.container = SimpleNamespace(
        config={"AMQP_URI": "amqp://ana:secret@127.0.0.1:1/;amqp://ana:secret@127.0.0.1:2/"}
    )
    consumer._providers = set()  # as if all had been asked to stop

    with pytest.raises(ConnectionAbortedError), consumer.establish_connection():
        pass

    assert "the broker is unreachable" in caplog.text
    assert "secret" not in caplog.text


def test_a_lost_broker_is_logged_with_the_error_and_a_bug_with_its_traceback(caplog):
    for error in (ConnectionForced("Too many heartbeats missed"), KeyError("bun")):
        try:
            raise error
        except Exception:
            logging.getLogger("kombu.mixins").warning("Connection to broker lost", exc_info=True)

    lost, bug = (each for each in caplog.records if each.name == "kombu.mixins")
    assert lost.getMessage() == "Connection to broker lost: Too many heartbeats missed" and not lost.exc_info
    assert bug.exc_info


def test_a_service_can_be_stopped_while_the_broker_is_unreachable(amqp_url):
    module, keys = "libs.rpc.tests.probe:Listening", new_key("auth:1")[1]
    with (
        closing(TcpProxy(amqp_url)) as proxy,
        nameko_service(module, "rpc-labels", AMQP_URI=proxy.url, TOKEN_PUBLIC_KEYS=keys) as service,
    ):
        proxy.close()  # to the service it is as if the broker had stopped
        time.sleep(1.5)  # it has noticed by then

        service.send_signal(signal.SIGTERM)

        assert service.wait(15) == 0


def test_a_service_that_has_not_reached_its_broker_yet_can_be_stopped(tmp_path):
    config = tmp_path / "config.yml"
    with socket.create_server(("127.0.0.1", 0)) as listener:  # which is no broker
        listener.settimeout(20)
        settings = {
            "SERVICE_CONTAINER_CLS": "libs.amqp.container.Container",
            "AMQP_URI": f"amqp://guest:guest@127.0.0.1:{listener.getsockname()[1]}/",
            "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1],
        }
        config.write_text(json.dumps(settings))
        service = Service([str(config), "libs.rpc.tests.probe:Listening"], os.environ)
        listener.accept()[0].close()
    try:
        service.send_signal(signal.SIGTERM)

        assert service.wait(15) == 0
    finally:
        service.kill()
        service.wait(10)


class Busy:
    """A provider that acknowledges nothing for now."""

    queue = Queue("busy")

    def __init__(self):
        self.redelivered = []

    def declare(self, channel):
        self.queue(channel).declare()

    def received(self, message):
        self.redelivered.append(message.delivery_info["redelivered"])


def test_a_busy_consumer_that_gets_a_message_every_half_second_keeps_those_in_progress(amqp_url, monkeypatch):
    monkeypatch.setattr("libs.amqp.consumer.HEARTBEAT_SECONDS", 1)
    consumer, busy = QueueConsumer(), Busy()
    consumer.container = SimpleNamespace(config={"AMQP_URI": amqp_url}, max_workers=100, _worker_threads={})
    consumer._providers = {busy}
    with ThreadPoolExecutor(1) as pool, closing(Publisher(amqp_url, busy.declare)) as publisher:
        pool.submit(consumer.run)
        for _ in range(8):
            publisher.publish([Outgoing("", busy.queue.name, b"{}")])
            time.sleep(0.5)  # so that no second passes without a message
        wait_for(lambda: len(busy.redelivered) >= 8)
        consumer.should_stop = True

    assert busy.redelivered == [False] * 8


def test_a_service_answers_while_the_exchange_of_another_is_missing_and_hears_its_events_once_it_is_there(amqp_url):
    module, keys = "libs.rpc.tests.probe:Listening", new_key("auth:1")[1]
    loaf = Outgoing(LoafBaked.exchange, LoafBaked.name, b"{}")
    with (
        nameko_service(module, "labels.LoafBaked", AMQP_URI=amqp_url, TOKEN_PUBLIC_KEYS=keys),
        closing(Client(amqp_url, "gateway")) as client,
        closing(Publisher(amqp_url, partial(topology.declare_published, events=[LoafBaked]))) as publisher,
    ):
        assert client.call("labels", "done") == []

        wait_for(lambda: publisher.publish([loaf]) == {}, what="the service to bind its queue")
