"""Receiving SessionRevoked over a real broker."""

from contextlib import closing
from threading import Event

import pytest
from kombu import Connection, Exchange

from libs.amqp.tests.malformed import MALFORMED, publish_malformed
from libs.contracts.events import SessionRevoked
from libs.events.topology import declare_published
from libs.revocation_listener import EXCHANGE, ROUTING_KEY, RevocationListener
from libs.tests.tcp_proxy import TcpProxy


class Woken:
    """Revocations that only note that they are woken."""

    def __init__(self):
        self.woken = Event()

    def follow(self, stopping):
        stopping.wait()

    def wake(self):
        self.woken.set()


@pytest.fixture
def woken(amqp_url, monkeypatch):
    """Set when the listener hears of a sign-out."""
    monkeypatch.setenv("BROKER_VERIFY_SECONDS", "1")
    revocations = Woken()
    listener = RevocationListener("orders", amqp_url, revocations)
    listener.start()
    assert is_heard(amqp_url, revocations.woken)
    yield revocations.woken
    listener.stop()


def is_heard(amqp_url, woken):
    """Publish sign-outs until one is heard of; return whether that happens in time."""
    with Connection(amqp_url) as connection:
        declare_published(connection.default_channel, [SessionRevoked])  # as auth does
        producer = connection.Producer(exchange=Exchange(EXCHANGE, no_declare=True), routing_key=ROUTING_KEY)
        for _ in range(100):
            producer.publish({"id": "s1"})
            if woken.wait(0.1):
                woken.clear()
                return True
    return False


@pytest.mark.parametrize("flaw", [*MALFORMED, "no such event"])
def test_sign_out_is_heard_of_when_its_event_cannot_be_read(woken, amqp_url, flaw):
    publish_malformed(amqp_url, flaw, EXCHANGE, ROUTING_KEY, b'{"id": "s0"}')

    assert woken.wait(10)


def test_sign_out_is_heard_of_again_after_somebody_deleted_the_exchange_of_its_events(woken, amqp_url):
    with Connection(amqp_url) as connection:
        connection.channel().exchange_delete(EXCHANGE)

    assert is_heard(amqp_url, woken)


def test_sign_out_is_heard_of_by_way_of_another_broker_after_one_hangs(amqp_url, monkeypatch):
    monkeypatch.setattr("libs.amqp.connection.SILENCE_SECONDS", 0.5)
    monkeypatch.setenv("BROKER_VERIFY_SECONDS", "1")
    revocations = Woken()
    with closing(TcpProxy(amqp_url)) as proxy:
        listener = RevocationListener("orders", f"{proxy.url};{amqp_url}", revocations)
        listener.start()
        assert is_heard(amqp_url, revocations.woken)

        proxy.silent.set()

        assert is_heard(amqp_url, revocations.woken)
        listener.stop()
