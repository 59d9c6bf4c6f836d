import json

import pytest
from kombu import Connection

from libs.amqp import BrokerUnavailable, Publisher
from libs.events import Aggregates, Relay, topology
from libs.events.catalogue import ExpirationComplete, SessionRevoked
from libs.testing import waiting

QUEUE = "orders.ExpirationComplete"


def a_deadline(ident, version=1):
    return {"id": ident, "version": version, "order_id": ident, "expires_at": "2026-11-22T12:00:00.000Z"}


@pytest.fixture
def deadlines(mongo):
    aggregates = Aggregates(mongo.deadlines)
    aggregates.create_indexes()
    return aggregates


@pytest.fixture
def relay(amqp_url, deadlines):
    publisher = Publisher(amqp_url, declare=topology.declare)
    yield Relay(publisher, [deadlines])
    publisher.close()


def add(deadlines, ident):
    deadlines.add(a_deadline(ident), ExpirationComplete, a_deadline(ident))


def change(deadlines, ident, version):
    deadlines.save(a_deadline(ident, version), ExpirationComplete, a_deadline(ident, version))


def received(amqp_url):
    with Connection(amqp_url) as connection:
        channel, messages = connection.channel(), []
        while message := channel.basic_get(QUEUE, no_ack=True):
            messages.append(message)
        return messages


def full(deadlines):
    return deadlines.collection.count_documents({"outbox_at": {"$exists": True}})


def test_what_waits_is_published_and_taken_out(amqp_url, deadlines, relay):
    for number in range(250):
        add(deadlines, f"o{number}")

    assert relay.flush() == 250

    assert full(deadlines) == 0
    assert len(received(amqp_url)) == 250
    stored = deadlines.collection.find_one({"_id": "o1"})
    assert stored["outbox"] == [] and "relay" not in stored


def test_a_message_carries_its_id_version_and_snapshot_and_survives_the_broker(amqp_url, deadlines, relay):
    add(deadlines, "o1")
    relay.flush()

    (message,) = received(amqp_url)

    assert message.properties["message_id"] == "ExpirationComplete:o1:1"
    assert message.properties["delivery_mode"] == 2
    assert message.headers["version"] == 1
    assert json.loads(message.body) == a_deadline("o1")


def test_events_of_one_aggregate_leave_in_the_order_of_their_versions(amqp_url, deadlines, relay):
    add(deadlines, "o1")
    for version in range(2, 20):
        change(deadlines, "o1", version)

    relay.flush()

    assert [message.headers["version"] for message in received(amqp_url)] == list(range(1, 20))


def test_what_cannot_be_routed_waits_alone_and_is_never_dropped(amqp_url, deadlines, relay, mongo):
    add(deadlines, "o1")
    deadlines.collection.update_one({"_id": "o1"}, {"$set": {"outbox.0.name": "TicketCreated"}})
    relay.flush()  # the first connection declares everything
    with Connection(amqp_url) as connection:
        connection.channel().queue_delete(QUEUE)
    add(deadlines, "o2")
    assert relay.flush() == 0
    assert full(deadlines) == 1

    relay.publisher.close()  # a new connection declares the queue again
    deadlines.collection.update_one({"_id": "o2"}, {"$unset": {"relay.until": ""}})
    assert relay.flush() == 1

    assert [message.properties["message_id"] for message in received(amqp_url)] == ["ExpirationComplete:o2:1"]


def test_two_relays_publish_each_event_once_while_their_leases_hold(amqp_url, deadlines, relay):
    from libs.events.relay import _claim

    add(deadlines, "o1")
    assert [document["_id"] for document in _claim(deadlines.collection, "another relay")] == ["o1"]

    assert relay.flush() == 0

    assert waiting(amqp_url, QUEUE) == 0


def test_a_relay_that_was_paused_past_its_lease_takes_out_nothing(deadlines, relay):
    from libs.events.relay import _claim, _done

    add(deadlines, "o1")
    (paused,) = _claim(deadlines.collection, "paused")
    deadlines.collection.update_one({"_id": "o1"}, {"$unset": {"relay.until": ""}})
    relay.flush()
    change(deadlines, "o1", 2)

    deadlines.collection.bulk_write([_done(paused, "paused", {})])

    stored = deadlines.collection.find_one({"_id": "o1"})
    assert [pending["version"] for pending in stored["outbox"]] == [2]


def test_an_event_saved_while_others_are_published_stays(deadlines, relay):
    from libs.events.relay import _claim, _done

    add(deadlines, "o1")
    (claimed,) = _claim(deadlines.collection, "mine")
    change(deadlines, "o1", 2)

    deadlines.collection.bulk_write([_done(claimed, "mine", {})])

    assert full(deadlines) == 1
    assert relay.flush() == 1


def test_a_broker_that_is_away_loses_nothing(deadlines):
    add(deadlines, "o1")
    away = Relay(Publisher("amqp://guest:guest@127.0.0.1:1/"), [deadlines])

    with pytest.raises(BrokerUnavailable):
        away.flush()

    stored = deadlines.collection.find_one({"_id": "o1"})
    assert len(stored["outbox"]) == 1 and "relay" not in stored


def test_a_broadcast_that_nobody_hears_is_not_kept(mongo, relay):
    sessions = Aggregates(mongo.sessions)
    session = {"id": "s1", "version": 1, "user_id": "bo", "expires_at": "2026-11-22T12:00:00.000Z"}
    sessions.add(session, SessionRevoked, session)

    assert Relay(relay.publisher, [sessions]).flush() == 1
