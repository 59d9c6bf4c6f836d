"""Each part's user can do all that the part does at the broker, and nothing that would harm another."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from urllib.parse import urlsplit

import pytest
from kombu import Connection

from dev.testing import nameko_service, new_vhost, queue_length, wait_for
from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE
from libs.contracts.parts import PRINCIPALS, SERVICES
from libs.events import topology
from libs.events.parking import Parking, Selection
from libs.rpc import Client, ServiceUnavailable
from libs.rpc.topology import declare_calls, declare_replies
from libs.tokens import new_key
from ops.broker_setup import declare
from ops.broker_users import ADMINISTRATOR, grant


@contextmanager
def users_of_a_vhost(servers):
    """Yield the addresses of the parts in a new vhost, and the administrator's."""
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


@pytest.fixture(scope="module")
def users(servers):
    """The users of a vhost that the tests share."""
    with users_of_a_vhost(servers) as users:
        yield users


@pytest.fixture
def users_of_nothing(servers):
    """The users of a vhost in which nothing is declared yet."""
    with users_of_a_vhost(servers) as users:
        yield users


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_each_part_may_declare_all_that_it_needs_in_any_order(users_of_nothing, queue_type, monkeypatch, servers):
    users = users_of_nothing
    monkeypatch.setenv("QUEUE_TYPE", queue_type)
    for part in (*PRINCIPALS, *reversed(PRINCIPALS)):
        with Connection(users[part]) as connection:
            topology.declare_published(connection.channel(), CATALOGUE.published_by(part))
            topology.declare_consumed(connection.channel(), part, CATALOGUE.consumed_by(part))
            if part != "operator":
                topology.declare_waits(connection.channel(), part, topology.DELAYS_SECONDS)
            declare_replies(connection.channel(), part)
            if part in SERVICES:
                declare_calls(connection.channel(), part)
    for part in SERVICES:
        with Connection(users[part]) as connection:
            topology.bind_consumed(connection.channel(), part, CATALOGUE.consumed_by(part))

    with Connection(users["administrator"]) as connection:  # as the set-up would: else this is refused, too
        declare(connection)
    vhost = urlsplit(users["administrator"]).path[1:]
    declared = {queue["name"] for queue in servers.management("GET", f"/api/queues/{vhost}").json()}
    names = CATALOGUE.queue_names()
    assert declared >= {*names, *map(topology.parked_name, names)}


def test_a_service_answers_retries_and_parks_with_the_rights_of_its_part(users, mongo_url):
    settings = {"AMQP_URI": users["orders"], "MONGO_URL": mongo_url, "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1]}
    event, queue = CATALOGUE["ExpirationComplete"], "orders.ExpirationComplete"
    body = b'{"id": "bad", "version": 1, "order_id": "bad", "expires_at": "2026-11-22T12:00:00.000Z"}'
    declare_own = partial(topology.declare_published, events=CATALOGUE.published_by("expiration"))
    with Connection(users["administrator"]) as connection:
        connection.channel().queue_delete(f"{queue}.parked")
    with (
        closing(Publisher(users["expiration"], declare_own)) as publisher,
        closing(Client(users["gateway"], "gateway", timeout=10)) as client,
        nameko_service("ops.tests.failing_service:FailingService", queue, **settings),
    ):
        assert client.call("orders", "ping") == "pong"
        wait_for(lambda: publisher.publish([Outgoing(event.exchange, event.name, body)]) == {})
        wait_for(lambda: queue_length(users["operator"], f"{queue}.parked") == 1)


@pytest.fixture
def site(users, mongo_url):
    """A service with the rights of its part, and a caller with those of the gateway."""
    settings = {"AMQP_URI": users["orders"], "MONGO_URL": mongo_url, "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1]}
    with (
        nameko_service("ops.tests.failing_service:FailingService", "rpc-orders", **settings),
        closing(Client(users["gateway"], "gateway", timeout=5)) as client,
    ):
        yield client


def send(address, key, **properties):
    with Connection(address) as connection:
        channel = connection.channel()
        message = channel.prepare_message(b'{"args": [], "kwargs": {}}', properties=properties, headers=DUE)
        channel.basic_publish(message, "nameko-rpc", key)


DUE = {"nameko.timeout_ms": 5000, "nameko.deadline_ms": 1}
NO_KEYS_OF_REPLIES = ("", "anything", "gateway.list", "orders.ping", "gateway.replies.xyz", "x" * 255)


def test_who_asks_for_an_answer_where_none_may_go_keeps_no_others_from_coming(site, users):
    for key in NO_KEYS_OF_REPLIES:
        send(users["tickets"], "orders.ping", reply_to=key, correlation_id="1")

        assert site.call("orders", "ping") == "pong", key


def test_who_asks_a_callers_clock_and_may_not_be_told_keeps_no_answers_from_it(site, users, caplog):
    site.call("orders", "ping")
    replies = site._reply_to
    for number, key in enumerate((*NO_KEYS_OF_REPLIES, "operator.replies.1f"), 1):
        send(users["orders"], replies, reply_to=key, type="clock")

        wait_for(lambda: caplog.text.count("about our clock cannot be answered") == number)  # noqa: B023
    assert site.call("orders", "ping") == "pong"
    assert site._reply_to == replies  # by the same connection: no call that was under way has failed


def test_a_listener_shows_replays_and_discards_its_parked_events_with_the_rights_of_its_part(users):
    queue = "orders.PaymentCreated"
    parking = Parking(users["orders"], [queue], ["orders.wait.30000"])
    with Connection(users["administrator"]) as connection:
        CATALOGUE.declare(connection.channel())
        for name in (queue, f"{queue}.parked"):
            connection.channel().queue_purge(name)
    with closing(Publisher(users["orders"])) as publisher:
        parked = [Outgoing("orders.parking", f"{queue}.parked", b"{}", {}, ident) for ident in ("mended", "broken")]
        assert publisher.publish(parked) == {}

    assert [event.event_id for event in parking.show(Selection(queue))] == ["mended", "broken"]
    assert parking.replay(Selection(queue, ["mended"])) == (1, 0)
    assert parking.discard(Selection(queue, ["broken"]), lambda event, body: None) == (1, 0)

    assert (parking.groups(), parking.stuck()) == ([], [])
    assert queue_length(users["administrator"], queue) == 1


def test_of_the_nodes_of_a_cluster_the_first_address_is_enough(servers, users):
    nodes = f"{users['orders']};{users['orders'].replace('127.0.0.1', 'another')}"

    grant(servers.management_url, servers.secrets["RABBITMQ_PASSWORD"], "orders", nodes)

    granted = servers.management("GET", f"/api/users/{urlsplit(users['orders']).username}/permissions").json()
    assert [permission["vhost"] for permission in granted] == [urlsplit(users["orders"]).path[1:]]


def test_the_administrator_is_never_changed(servers):
    grant(servers.management_url, "wrong", "auth", servers.amqp_url)

    assert "administrator" in servers.management("GET", f"/api/users/{ADMINISTRATOR}").json()["tags"]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: "
NO_WHOLE_ANSWERS = b"", b"what\r\n\r\n", OK + b"9\r\n\r\n{", OK + b"0\r\n\r\n", OK + b"1\r\n\r\n{"


@pytest.mark.parametrize("answer", NO_WHOLE_ANSWERS)
def test_a_broker_that_gives_no_whole_answer_is_away(answer):
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(answer_once, server, answer)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        with pytest.raises(OSError, match="closed connection|half an answer|no JSON"):
            grant(url, "admin", "auth", "amqp://auth:a@127.0.0.1/", keeps=True)


def answer_once(server, answer):
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)


def test_a_wrong_password_is_refused(users):
    with (
        pytest.raises(ServiceUnavailable),
        closing(Client(users["auth"].replace("a%2Fb", "b"), "auth", timeout=1)) as client,
    ):
        client.call("orders", "ping")
