"""Whatever an operator deletes at the broker by mistake is there again, without a restart of anything."""

import json
import re
import threading
import uuid
from contextlib import closing, contextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

import pytest
from kombu import Connection

from dev.testing import nameko_service, new_vhost, queue_length, wait_for
from libs.amqp import BrokerUnavailable, Outgoing, Publisher
from libs.contracts.events import CATALOGUE
from libs.events import topology
from libs.rpc import Client, ServiceUnavailable
from libs.rpc.topology import declare_rpc_exchange
from libs.tokens import new_key
from ops.broker_users import grant

QUEUE = "orders.ExpirationComplete"
PARKED = topology.parked_name(QUEUE)
QUEUES = (QUEUE, PARKED, "orders.wait.50", "rpc-orders")
EXCHANGES = (
    *("expiration.events", "orders.home", "orders.parking", "orders.wait.50"),
    *("nameko-rpc", "gateway.replies", "orders.replies"),
)
USERS = ("expiration", "orders", "gateway")
BINDINGS = (
    ("expiration.events", QUEUE, "ExpirationComplete"),
    ("orders.home", QUEUE, QUEUE),
    ("orders.parking", PARKED, PARKED),
    ("orders.wait.50", "orders.wait.50", ""),
    ("nameko-rpc", "rpc-orders", "orders.*"),
)
REPLIES = ("gateway.replies", "orders.replies")
DELETIONS = {
    **{f"queue {name}": partial(lambda channel, name: channel.queue_delete(name), name=name) for name in QUEUES},
    **{
        f"exchange {name}": partial(lambda channel, name: channel.exchange_delete(name), name=name)
        for name in EXCHANGES
    },
    **{
        f"binding {source} to {queue}": partial(
            lambda channel, source, queue, key: channel.queue_unbind(queue, source, key),
            source=source,
            queue=queue,
            key=key,
        )
        for source, queue, key in BINDINGS
    },
    **{
        f"way to {name}": partial(
            lambda channel, name: channel.exchange_unbind(name, "nameko-rpc", f"{name}.*"), name=name
        )
        for name in REPLIES
    },
}


@pytest.fixture(scope="module")
def site(servers):
    """A relay's publisher, a client, and a service that both are for; each has a user of its own, with its rights.

    Each second its topology is verified, and what belongs to nobody is declared by an administrator.
    """
    with pytest.MonkeyPatch.context() as environment, new_vhost(servers) as url:
        environment.setenv("BROKER_VERIFY_SECONDS", "1")
        urls = users(servers, url)
        declare = partial(topology.declare_published, events=[CATALOGUE["ExpirationComplete"]])
        settings = {"AMQP_URI": urls["orders"], "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1]}
        with (
            closing(Publisher(urls["expiration"], declare)) as publisher,
            closing(Client(urls["gateway"], "gateway", timeout=1)) as client,
            nameko_service("libs.tests.retry_probe:RetryProbe", QUEUE, **settings) as service,
            administering(url),
        ):
            send(publisher, {**DEADLINE, "id": "first"})
            wait_for(lambda: "first" in handled(client))
            yield url, publisher, client
            assert service.poll() is None
        for address in urls.values():
            servers.management("DELETE", f"/api/users/{urlsplit(address).username}")


def users(servers, url):
    """Create the users in a vhost; return their addresses."""
    vhost = urlsplit(url).path[1:]
    urls = {user: re.sub("://[^@]*@", f"://{vhost}-{user}:of-its-own@", url) for user in USERS}
    for user, address in urls.items():
        grant(servers.management_url, servers.secrets["RABBITMQ_PASSWORD"], user, address)
    return urls


@contextmanager
def administering(url):
    """Declare the exchange of calls each second, as the set-up of the broker does, while the block runs."""
    stopped = threading.Event()

    def run():
        with Connection(url) as connection:
            while not stopped.wait(1):
                declare_rpc_exchange(connection.default_channel)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


DEADLINE = {"version": 1, "order_id": "o1", "expires_at": "2026-11-22T12:00:00.000Z"}


def send(publisher, body):
    """Publish once, as a relay does: until the broker has it."""

    def is_published():
        with suppress(BrokerUnavailable):
            return not publisher.publish(
                [Outgoing("expiration.events", "ExpirationComplete", json.dumps(body).encode())]
            )
        return False

    wait_for(is_published, 30)


def handled(client):
    """Return of which events the service says that it has handled them, of none while it does not answer."""
    with suppress(ServiceUnavailable):
        return client.call("orders", "handled")
    return ()


@pytest.mark.parametrize("what", DELETIONS)
def test_an_event_is_handled_and_one_parked_and_calls_are_answered_although_somebody_deleted_the(what, site):
    url, publisher, client = site
    ident, parked = uuid.uuid4().hex, queue_length(url, PARKED)
    with Connection(url) as connection:
        DELETIONS[what](connection.channel())

    send(publisher, {**DEADLINE, "id": ident})
    send(publisher, "no deadline")

    wait_for(lambda: ident in handled(client), 30)
    wait_for(lambda: queue_length(url, PARKED) == (0 if what == f"queue {PARKED}" else parked) + 1, 30)


def test_nothing_that_is_declared_was_left_out_of_these_tests(site, servers):
    vhost = site[0].rpartition("/")[2]

    def names(kind):
        return {each["name"] for each in servers.management("GET", f"/api/{kind}/{vhost}").json()}

    assert {name for name in names("queues") if not re.search(r"\.replies\.", name)} == set(QUEUES)
    assert {name for name in names("exchanges") if name and not name.startswith("amq.")} == set(EXCHANGES)
