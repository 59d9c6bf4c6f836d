import socket

import pytest
from kombu import Connection
from prometheus_client import start_http_server

from dev.testing import nameko_service
from libs.contracts.events import CATALOGUE
from libs.rpc import ServiceUnavailable
from libs.tokens import new_key
from ops import health

OPEN_TO_BROKER = "   0: 0100007F:C350 0200007F:1628 01 00000000:00000000 00:00000000 00000000  1000 0 1 1"
CLOSING = OPEN_TO_BROKER.replace(" 01 ", " 08 ")


def test_open_connection_to_the_port_is_seen():
    assert health.connected(5672, [CLOSING, OPEN_TO_BROKER])


def test_connection_that_is_closing_or_leads_elsewhere_does_not_count():
    assert not health.connected(5672, [CLOSING])
    assert not health.connected(6379, [OPEN_TO_BROKER])


def test_service_is_alive_without_the_broker_but_not_ready(monkeypatch):
    server, thread = start_http_server(0, "127.0.0.1")
    monkeypatch.setenv("METRICS_PORT", str(server.server_port))
    monkeypatch.setenv("ORDERS_AMQP_URL", "amqp://orders:of-orders-alone@127.0.0.1:1/")
    try:
        assert health.ALIVE["orders"]()
        assert not health.READY["orders"]()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_program_that_hangs_is_not_alive(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        monkeypatch.setenv("METRICS_PORT", str(hanging.getsockname()[1]))
        monkeypatch.setattr(health, "SECONDS", 0.2)

        with pytest.raises(TimeoutError):
            health.ALIVE["orders"]()


@pytest.mark.parametrize("delete", ["queue_unbind", "exchange_delete"])
def test_a_service_that_cannot_be_called_is_not_ready_although_it_consumes_its_queue(delete, amqp_url, monkeypatch):
    monkeypatch.setenv("BROKER_VERIFY_SECONDS", "30")
    monkeypatch.setenv("ORDERS_AMQP_URL", amqp_url)
    settings = {"AMQP_URI": amqp_url, "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1]}
    arguments = {"queue_unbind": ("rpc-orders", "nameko-rpc", "orders.*"), "exchange_delete": ("nameko-rpc",)}
    with Connection(amqp_url) as connection:
        CATALOGUE.declare(connection.default_channel)  # as the set-up of the broker does
    with nameko_service("ops.tests.failing:Failing", "rpc-orders", **settings), Connection(amqp_url) as connection:
        assert health.READY["orders"]()

        getattr(connection.channel(), delete)(*arguments[delete])

        with pytest.raises(ServiceUnavailable, match=r"there is no such service|the broker is unreachable"):
            health.READY["orders"]()
