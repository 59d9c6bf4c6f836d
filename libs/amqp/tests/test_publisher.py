import struct
import time
from contextlib import closing

import pytest
from kombu.exceptions import OperationalError

from libs.amqp import BrokerUnavailable, Outgoing, Publisher, connection
from libs.amqp import publisher as publisher_module
from libs.amqp.connection import connect
from libs.tests.tcp_proxy import TcpProxy

NOBODY = "amqp://guest:guest@127.0.0.1:1/"


@pytest.fixture
def proxy(amqp_url):
    with closing(TcpProxy(amqp_url)) as proxy:
        yield proxy


def test_a_broker_that_never_confirms_is_unavailable_and_its_successor_is_not(proxy):
    with closing(Publisher(proxy.url, confirm_seconds=0.5)) as publisher:
        message = Outgoing("", "nowhere", b"", mandatory=False)
        assert publisher.publish([message]) == {}
        proxy.silent.set()
        started = time.monotonic()

        with pytest.raises(BrokerUnavailable):
            publisher.publish([message])

        assert time.monotonic() - started < 8
        proxy.silent.clear()
        assert publisher.publish([message]) == {}


def test_a_broker_that_falls_silent_while_a_publisher_sets_up_is_unavailable(proxy, monkeypatch):
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 0.3)

    def declare(channel):
        proxy.silent.set()
        channel.queue_declare("x")

    with closing(Publisher(proxy.url, declare)) as publisher, pytest.raises(BrokerUnavailable):
        publisher.publish([Outgoing("", "nowhere", b"", mandatory=False)])


def test_what_was_nacked_is_published_again_over_another_channel(amqp_url, monkeypatch):
    opened = []
    monkeypatch.setattr(publisher_module, "connect", lambda url: opened.append(url) or connect(url))
    full = {"x-max-length": 0, "x-overflow": "reject-publish"}
    message = Outgoing("", "full", b"")

    with closing(Publisher(amqp_url, lambda channel: channel.queue_declare("full", arguments=full))) as publisher:
        assert [publisher.publish([message]) for _ in range(2)] == [{message.message_id: "nacked"}] * 2

        assert len(opened) == 2


def test_a_message_that_cannot_be_written_leaves_nothing_half_done(amqp_url):
    with closing(Publisher(amqp_url)) as publisher:
        good, bad = Outgoing("", "nowhere", b"", mandatory=False), Outgoing("", "nowhere", b"", message_id="x" * 300)
        with pytest.raises(struct.error):
            publisher.publish([good, bad])
        started = time.monotonic()

        assert publisher.publish([good]) == {}

        assert time.monotonic() - started < 3


def test_the_first_broker_of_several_that_answers_is_used(amqp_url):
    with closing(Publisher(f"{NOBODY};{NOBODY};{amqp_url}")) as publisher:
        assert publisher.publish([Outgoing("", "nowhere", b"", mandatory=False)]) == {}


def test_no_broker_at_all_is_reported_at_once():
    started = time.monotonic()

    with pytest.raises(BrokerUnavailable):
        Publisher(f"{NOBODY};{NOBODY}").publish([Outgoing("", "nowhere", b"")])

    assert time.monotonic() - started < 2


def test_an_amqps_connection_is_never_opened_in_the_clear(amqp_url):
    with pytest.raises(OperationalError, match="SSL"):
        connect(amqp_url.replace("amqp://", "amqps://"))


def bind_a_queue(channel):
    channel.queue_declare("here")
    channel.queue_bind("here", "amq.topic", "here")


def a_message(ident, routing_key="here"):
    return Outgoing("amq.topic", routing_key, b"{}", message_id=ident)


@pytest.fixture
def publisher(amqp_url):
    with closing(Publisher(amqp_url, bind_a_queue)) as publisher:
        yield publisher


def test_what_does_not_arrive_is_named_and_the_rest_arrives(publisher):
    batch = [a_message("m1"), a_message("m2", "nowhere"), a_message("m3")]

    assert publisher.publish(batch) == {"m2": "unroutable: amq.topic nowhere"}


def test_an_empty_batch_is_accepted(publisher):
    assert publisher.publish([]) == {}


def test_a_closed_publisher_opens_again(publisher):
    publisher.close()

    assert publisher.publish([a_message("m1")]) == {}
