"""Whatever an operator deletes at the broker by mistake is there again, without a restart of anything."""

import json
import uuid
from contextlib import closing, suppress
from functools import partial

import pytest
from kombu import Connection

from dev.testing import nameko_service, new_vhost, wait_for, waiting
from libs.amqp import BrokerUnavailable, Outgoing, Publisher
from libs.events import topology
from libs.events.tests.bakery.catalogue import CATALOGUE
from libs.rpc import Client, ServiceUnavailable
from libs.tokens import new_key

QUEUE = "labels.LoafBaked"
PARKED = topology.parked_name(QUEUE)
QUEUES = (QUEUE, PARKED, "labels.wait.50", "rpc-labels")
EXCHANGES = ("oven.events", "labels.home", "labels.parking", "labels.wait.50", "nameko-rpc")
BINDINGS = (
    ("oven.events", QUEUE, "LoafBaked"),
    ("labels.home", QUEUE, QUEUE),
    ("labels.parking", PARKED, PARKED),
    ("labels.wait.50", "labels.wait.50", ""),
    ("nameko-rpc", "rpc-labels", "labels.*"),
)
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
}


@pytest.fixture(scope="module")
def site(servers):
    """A relay's publisher, a client, and a service that both are for; each second its topology is verified."""
    declare = partial(topology.declare_published, events=[CATALOGUE["LoafBaked"]])
    with (
        pytest.MonkeyPatch.context() as environment,
        new_vhost(servers) as url,
        closing(Publisher(url, declare)) as publisher,
        closing(Client(url, timeout=1)) as client,
    ):
        environment.setenv("BROKER_VERIFY_SECONDS", "1")
        settings = {"AMQP_URI": url, "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1]}
        with nameko_service("libs.tests.mended:Mended", QUEUE, **settings) as service:
            send(publisher, {**LOAF, "id": "first"})
            wait_for(lambda: "first" in handled(client))
            yield url, publisher, client
            assert service.poll() is None


LOAF = {"version": 1, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}


def send(publisher, body):
    """Publish once, as a relay does: until the broker has it."""

    def is_published():
        with suppress(BrokerUnavailable):
            return not publisher.publish([Outgoing("oven.events", "LoafBaked", json.dumps(body).encode())])
        return False

    wait_for(is_published, 30)


def handled(client):
    """Return of which events the service says that it has handled them, of none while it does not answer."""
    with suppress(ServiceUnavailable):
        return client.call("labels", "handled")
    return ()


@pytest.mark.parametrize("what", DELETIONS)
def test_an_event_is_handled_and_one_parked_and_calls_are_answered_although_somebody_deleted_the(what, site):
    url, publisher, client = site
    ident, parked = uuid.uuid4().hex, waiting(url, PARKED)
    with Connection(url) as connection:
        DELETIONS[what](connection.channel())

    send(publisher, {**LOAF, "id": ident})
    send(publisher, "no loaf")

    wait_for(lambda: ident in handled(client), 30)
    wait_for(lambda: waiting(url, PARKED) == (0 if what == f"queue {PARKED}" else parked) + 1, 30)


def test_nothing_that_is_declared_was_left_out_of_these_tests(site, servers):
    vhost = site[0].rpartition("/")[2]

    def names(kind):
        return {each["name"] for each in servers.management("GET", f"/api/{kind}/{vhost}").json()}

    other = {"labels.LoafSold", "labels.LoafSold.parked"}
    assert {name for name in names("queues") if not name.startswith("rpc.reply-")} - other == set(QUEUES)
    assert {name for name in names("exchanges") if name and not name.startswith("amq.")} == set(EXCHANGES)
