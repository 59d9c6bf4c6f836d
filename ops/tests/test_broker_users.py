"""Each part's user can do all that the part does at the broker, and nothing that would harm another."""

from contextlib import closing
from urllib.parse import urlsplit

import pytest
from amqp.exceptions import AccessRefused
from kombu import Connection, Exchange, Queue

from dev.testing import nameko_service, new_vhost, wait_for, waiting
from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE
from libs.contracts.parts import PRINCIPALS
from libs.events import topology
from libs.rpc import Client, ServiceUnavailable
from libs.tokens import new_key
from ops.broker_users import ADMINISTRATOR, grant

DELAYS = (0.05, 0.1)


@pytest.fixture
def users(servers):
    """The addresses of the parts in a vhost of their own, and the administrator's."""
    with new_vhost(servers) as url:
        vhost, password = urlsplit(url).path, servers.secrets["RABBITMQ_PASSWORD"]
        names = {part: f"{vhost[1:]}-{part}" for part in PRINCIPALS}
        addresses = {part: f"amqp://{name}:a%2Fb@127.0.0.1:{servers.ports.amqp}{vhost}" for part, name in names.items()}
        for part, address in addresses.items():
            for _ in range(2):
                grant(servers.management_url, password, part, address)
        yield {**addresses, "administrator": url}
        for name in names.values():
            servers.management("DELETE", f"/api/users/{name}")


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_each_part_may_declare_all_that_it_needs_in_any_order(users, queue_type, monkeypatch):
    monkeypatch.setenv("QUEUE_TYPE", queue_type)
    for part in (*PRINCIPALS, *reversed(PRINCIPALS)):
        with Connection(users[part]) as connection:
            topology.declare_published(connection.channel(), CATALOGUE.published_by(part))
            topology.declare_consumed(connection.channel(), part, CATALOGUE.consumed_by(part))
            topology.declare_waits(connection.channel(), part, DELAYS)

    with Connection(users["operator"]) as connection:
        channel, names = connection.channel(), CATALOGUE.queue_names()
        queues = [*names, *map(topology.parked_name, names)]
        assert [channel.queue_declare(queue, passive=True).queue for queue in queues] == queues


def test_a_service_answers_retries_and_parks_with_the_rights_of_its_part(users, mongo_url):
    settings = {"AMQP_URI": users["orders"], "MONGO_URL": mongo_url, "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1]}
    event, queue = CATALOGUE["ExpirationComplete"], "orders.ExpirationComplete"
    body = b'{"id": "bad", "version": 1, "order_id": "bad", "expires_at": "2026-11-22T12:00:00.000Z"}'
    declare = lambda channel: topology.declare_published(channel, CATALOGUE.published_by("expiration"))  # noqa: E731
    with (
        closing(Publisher(users["expiration"], declare)) as publisher,
        closing(Client(users["gateway"], timeout=10)) as client,
        nameko_service("ops.tests.failing:Failing", queue, **settings),
    ):
        assert client.call("orders", "ping") == "pong"
        assert publisher.publish([Outgoing(event.exchange, event.name, body)]) == {}
        wait_for(lambda: waiting(users["operator"], f"{queue}.parked") == 1)


@pytest.mark.parametrize(
    ("what", "attempt"),
    [
        ("publish another's event", lambda channel: publish(channel, "tickets.events", "TicketCreated")),
        ("publish to any queue directly", lambda channel: publish(channel, "", "rpc-auth")),
        (
            "send to a handler as if from its source",
            lambda channel: publish(channel, "orders.home", "orders.TicketCreated"),
        ),
        ("consume another's events", lambda channel: channel.basic_get("orders.TicketCreated")),
        ("consume another's parked events", lambda channel: channel.basic_get("orders.TicketCreated.parked")),
        ("consume another's calls", lambda channel: channel.basic_get("rpc-auth")),
        ("purge another's events", lambda channel: channel.queue_purge("orders.TicketCreated")),
        ("delete another's queue", lambda channel: channel.queue_delete("orders.TicketCreated")),
        (
            "overhear another's calls",
            lambda channel: Queue("payments.ear", Exchange("nameko-rpc", type="topic"), "auth.#")(channel).declare(),
        ),
    ],
)
def test_no_part_can(what, attempt, users):
    with Connection(users["administrator"]) as connection:
        CATALOGUE.declare(connection.channel())
        Queue("rpc-auth", Exchange("nameko-rpc", type="topic"), "auth.*")(connection.channel()).declare()
    with Connection(users["payments"]) as connection, pytest.raises(AccessRefused):
        attempt(connection.channel())


def publish(channel, exchange, key):
    channel.basic_publish(channel.prepare_message(b"{}", content_encoding="utf-8"), exchange, key)
    channel.connection.drain_events(timeout=5)  # publishing is refused later


def test_of_the_nodes_of_a_cluster_the_first_address_is_enough(servers, users):
    nodes = f"{users['orders']};{users['orders'].replace('127.0.0.1', 'another')}"

    grant(servers.management_url, servers.secrets["RABBITMQ_PASSWORD"], "orders", nodes)

    granted = servers.management("GET", f"/api/users/{urlsplit(users['orders']).username}/permissions").json()
    assert [permission["vhost"] for permission in granted] == [urlsplit(users["orders"]).path[1:]]


def test_the_administrator_is_never_changed(servers):
    grant(servers.management_url, "wrong", "auth", servers.amqp_url)

    assert "administrator" in servers.management("GET", f"/api/users/{ADMINISTRATOR}").json()["tags"]


def test_a_wrong_password_is_refused(users):
    with pytest.raises(ServiceUnavailable), closing(Client(users["auth"].replace("a%2Fb", "b"), timeout=1)) as client:
        client.call("orders", "ping")
