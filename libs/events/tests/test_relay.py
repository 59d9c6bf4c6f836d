import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from bson import ObjectId
from kombu import Connection
from prometheus_client import REGISTRY
from pymongo import MongoClient
from pymongo.monitoring import CommandListener

from dev.testing import ROOT, queue_length, wait_for
from libs.alarms import ALARM_EVERY
from libs.amqp import BrokerUnavailable, Publisher
from libs.clock import utc_now
from libs.events import Aggregates, Relay, topology
from libs.events.relay import pause_after, relay_of
from libs.events.tests.bakery.catalogue import CATALOGUE, DoorOpened, LoafBaked
from libs.events.tests.fakes import FakePublisher

QUEUE = "labels.LoafBaked"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def a_loaf(ident, version=1):
    return {"id": ident, "version": version, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}


@pytest.fixture
def relay(amqp_url, loaves):
    publisher = Publisher(amqp_url, declare=CATALOGUE.declare)
    yield Relay(publisher, [loaves])
    publisher.close()


def add(loaves, ident):
    loaves.add(a_loaf(ident), LoafBaked, a_loaf(ident))


def change(loaves, ident, version):
    loaves.save(a_loaf(ident, version), LoafBaked, a_loaf(ident, version))


def received(amqp_url):
    with Connection(amqp_url) as connection:
        channel, messages = connection.channel(), []
        while message := channel.basic_get(QUEUE, no_ack=True):
            messages.append(message)
        return messages


def versions(messages):
    """What was received, as (id, version), in the order in which it came."""
    return [(json.loads(message.body)["id"], message.headers["version"]) for message in messages]


def firsts(messages):
    """The versions of each aggregate in the order in which they first came."""
    seen = {}
    for ident, version in versions(messages):
        if version not in seen.setdefault(ident, []):
            seen[ident].append(version)
    return seen


def spoil(loaves, ident, place, **fields):
    changes = {f"outbox.{place}.{name}": value for name, value in fields.items()}
    loaves.collection.update_one({"_id": ident}, {"$set": changes})


@contextmanager
def meanwhile(amqp_url, happens):
    """A publisher during whose first batch something else happens."""

    class Meanwhile(Publisher):
        def publish(self, batch):
            while left:
                left.pop()()
            return super().publish(batch)

    left = [happens]
    publisher = Meanwhile(amqp_url, declare=CATALOGUE.declare)
    yield publisher
    publisher.close()


@contextmanager
def running(relay):
    thread = threading.Thread(target=relay.run)
    thread.start()
    try:
        yield thread
    finally:
        relay.stop()
        thread.join(10)


@contextmanager
def relay_process(amqp_url, mongo_url, moment="never"):
    """A relay with a lease of one second, as a process; `moment`: what it does to itself at its first batch."""
    command = [sys.executable, "-m", "libs.events.tests.relay_process", amqp_url, mongo_url, moment]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def is_stopped(process):
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def full(loaves):
    return loaves.collection.count_documents({"outbox_at": {"$exists": True}})


class Commands(CommandListener):
    """The names of the commands that the database gets."""

    def __init__(self):
        self.names = []

    def started(self, event):
        self.names.append(event.command_name)

    def succeeded(self, event): ...

    def failed(self, event): ...


@pytest.fixture
def commands():
    return Commands()


@pytest.fixture
def followed(mongo_url, loaves, commands, monkeypatch):
    """A relay with a fake publisher, to which every write of its aggregates hands its event, as in a service."""
    monkeypatch.setattr("libs.events.relay.CLEAR_SECONDS", 0)
    with MongoClient(mongo_url, event_listeners=[commands], tz_aware=True) as client:
        own = Aggregates(client.get_default_database().loaves)
        relay = Relay(FakePublisher(), [own], poll_seconds=0)
        relay.attach()
        relay.work()
        commands.names.clear()
        yield relay


def published(relay):
    return [message.message_id for message in relay.publisher.published]


def test_what_was_just_saved_is_published_without_a_query_and_cleared_by_one_command(loaves, followed, commands):
    followed.poll_seconds, followed._poll_at = 60, time.monotonic() + 60
    for number in range(50):
        add(followed.aggregates[0], f"b{number}")

    followed.work()

    assert published(followed) == [f"LoafBaked:b{number}:1" for number in range(50)]
    assert commands.names == ["insert"] * 50 + ["update"]
    assert full(loaves) == 0


def test_changes_saved_shortly_after_one_another_leave_in_order_by_one_command(loaves, followed, commands):
    followed.poll_seconds, followed._poll_at = 60, time.monotonic() + 60
    add(followed.aggregates[0], "b1")
    change(followed.aggregates[0], "b1", 2)
    change(followed.aggregates[0], "b1", 3)
    commands.names.clear()

    followed.work()

    assert published(followed) == ["LoafBaked:b1:1", "LoafBaked:b1:2", "LoafBaked:b1:3"]
    assert (commands.names, full(loaves)) == (["update"], 0)


def test_a_rush_of_events_is_published_in_batches_between_which_a_service_answers_calls(followed, monkeypatch):
    """All that was just saved, of up to a thousand aggregates, was one batch: a sixth of a second without an answer."""
    monkeypatch.setattr("libs.events.relay.BATCH", 2)
    batches = []
    followed.publisher.publish = lambda batch: batches.append([message.message_id for message in batch]) or {}
    for ident in ("b1", "b2", "b3"):
        add(followed.aggregates[0], ident)
    change(followed.aggregates[0], "b1", 2)

    followed.work()

    assert batches == [["LoafBaked:b2:1", "LoafBaked:b3:1"], ["LoafBaked:b1:1"], ["LoafBaked:b1:2"]]


def test_what_another_process_saved_meanwhile_follows_what_this_one_saved(loaves, followed):
    add(followed.aggregates[0], "b1")
    change(loaves, "b1", 2)
    change(followed.aggregates[0], "b1", 3)

    followed.work()

    assert published(followed) == ["LoafBaked:b1:1", "LoafBaked:b1:2", "LoafBaked:b1:3"]
    assert full(loaves) == 0


def test_an_event_saved_at_the_moment_when_the_one_before_is_cleared_waits_for_no_poll(followed, monkeypatch):
    followed.poll_seconds, followed._poll_at = 60, time.monotonic() + 60
    aggregates = followed.aggregates[0]
    add(aggregates, "b1")
    works, update = [followed.work], aggregates._update

    def update_and_clear(where, change):
        is_saved = update(where, change)
        while works:
            works.pop()()
        return is_saved

    monkeypatch.setattr(aggregates, "_update", update_and_clear)
    change(aggregates, "b1", 2)
    followed.work()

    assert published(followed) == ["LoafBaked:b1:1", "LoafBaked:b1:2"]


def test_what_a_crash_left_is_published_by_the_second_poll_and_nothing_before_it(loaves, followed):
    add(loaves, "b1")
    change(followed.aggregates[0], "b1", 2)

    followed.work()
    assert published(followed) == []

    followed.work()
    assert published(followed) == ["LoafBaked:b1:1", "LoafBaked:b1:2"]


def test_an_outbox_that_is_filled_again_and_again_is_published_by_the_second_poll(loaves, followed):
    add(loaves, "b1")
    followed.work()
    change(loaves, "b1", 2)

    followed.work()

    assert published(followed) == ["LoafBaked:b1:1", "LoafBaked:b1:2"]


def test_an_event_just_saved_that_is_refused_waits_with_backoff_and_holds_up_no_other(loaves, followed):
    followed.publisher.refuse = {"LoafBaked:b1:1": "nacked"}
    add(followed.aggregates[0], "b1")
    change(followed.aggregates[0], "b1", 2)
    add(followed.aggregates[0], "b2")

    followed.work()

    stored = loaves.collection.find_one({"_id": "b1"})
    assert published(followed) == ["LoafBaked:b2:1"]
    assert (stored["relay"]["attempts"], len(stored["outbox"])) == (1, 2)
    assert stored["relay"]["until"] > utc_now()


def test_what_was_saved_while_the_broker_was_unreachable_is_published_by_a_poll(loaves, followed, monkeypatch):
    def publish(batch):
        raise BrokerUnavailable("it does not answer")

    add(followed.aggregates[0], "b1")
    with monkeypatch.context() as patch:
        patch.setattr(followed.publisher, "publish", publish)
        with pytest.raises(BrokerUnavailable):
            followed.work()

    followed.work()
    change(followed.aggregates[0], "b1", 2)
    followed.work()

    assert published(followed) == ["LoafBaked:b1:1", "LoafBaked:b1:2"]
    assert full(loaves) == 0


def test_what_could_not_be_cleared_is_cleared_later_and_not_published_again(loaves, followed, monkeypatch):
    followed.poll_seconds, followed._poll_at = 60, time.monotonic() + 60
    add(followed.aggregates[0], "b1")
    with monkeypatch.context() as patch:
        patch.setattr("libs.events.relay.with_relaxed_writes", lambda collection: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            followed.work()

    followed.work()

    assert (published(followed), full(loaves)) == (["LoafBaked:b1:1"], 0)


def test_of_many_changes_those_saved_to_empty_outboxes_are_published_at_once(loaves, followed):
    followed.poll_seconds, followed._poll_at = 60, time.monotonic() + 60
    for ident in ("b1", "b2", "b3"):
        add(loaves, ident)
    change(loaves, "b1", 2)
    Relay(FakePublisher(), [loaves]).flush()
    change(loaves, "b3", 2)
    changed = [(fields, fields) for fields in (a_loaf("b1", 2), a_loaf("b2", 2), a_loaf("b3", 3))]

    assert followed.aggregates[0].save_all(changed, LoafBaked) == 2
    followed.work()

    assert published(followed) == ["LoafBaked:b2:2"]


def test_a_relay_that_is_stopped_publishes_and_clears_what_was_saved(loaves, monkeypatch):
    monkeypatch.setattr("libs.events.relay.CLEAR_SECONDS", 60)
    relay = Relay(FakePublisher(), [loaves], poll_seconds=60)
    relay.attach()
    with running(relay):
        add(loaves, "b1")

    assert (published(relay), full(loaves)) == (["LoafBaked:b1:1"], 0)


def test_what_waits_is_published_and_removed(amqp_url, loaves, relay):
    for number in range(250):
        add(loaves, f"b{number}")

    assert relay.flush() == 250

    assert full(loaves) == 0
    assert len(received(amqp_url)) == 250
    stored = loaves.collection.find_one({"_id": "b1"})
    assert stored["outbox"] == [] and "relay" not in stored


def test_a_message_carries_its_id_version_and_snapshot_and_survives_the_broker(amqp_url, loaves, relay):
    add(loaves, "b1")
    relay.flush()

    (message,) = received(amqp_url)

    assert message.properties["message_id"] == "LoafBaked:b1:1"
    assert message.properties["delivery_mode"] == 2
    assert message.headers["version"] == 1
    assert json.loads(message.body) == a_loaf("b1")


def test_a_body_with_a_datetime_is_published_in_iso_8601(loaves):
    publisher = FakePublisher()
    loaves.add(a_loaf("b1"), LoafBaked, {**a_loaf("b1"), "baked_at": NOON})
    Relay(publisher, [loaves]).flush()

    [message] = publisher.published

    assert json.loads(message.body) == a_loaf("b1")


def test_a_round_is_observed_with_its_size_and_the_age_of_its_oldest_event(loaves, relay):
    names = ["relay_batch_events_count", "relay_batch_events_sum", "outbox_age_seconds_count", "outbox_age_seconds_sum"]
    before = [REGISTRY.get_sample_value(name, {"collection": "loaves"}) or 0 for name in names]
    add(loaves, "b1")
    change(loaves, "b1", 2)

    relay.flush()

    after = [REGISTRY.get_sample_value(name, {"collection": "loaves"}) for name in names]
    rounds, events, ages, age = (new - old for old, new in zip(before, after, strict=True))
    assert (rounds, events, ages) == (1, 2, 1)
    assert 0 <= age < 5


def test_events_of_one_aggregate_leave_in_the_order_of_their_versions(amqp_url, loaves, relay):
    add(loaves, "b1")
    for version in range(2, 20):
        change(loaves, "b1", version)

    relay.flush()

    assert [message.headers["version"] for message in received(amqp_url)] == list(range(1, 20))


def test_what_cannot_be_routed_waits_alone_and_is_never_dropped(amqp_url, loaves, relay, mongo):
    add(loaves, "b1")
    add(loaves, "b2")
    loaves.collection.update_one({"_id": "b1"}, {"$set": {"outbox.0.name": "LoafBurnt"}})  # no queue is bound for it
    assert relay.flush() == 1
    assert relay.flush() == 0
    assert full(loaves) == 1

    loaves.collection.update_one({"_id": "b1"}, {"$set": {"outbox.0.name": "LoafBaked"}, "$unset": {"relay.until": ""}})
    assert relay.flush() == 1

    assert [message.properties["message_id"] for message in received(amqp_url)] == ["LoafBaked:b2:1", "LoafBaked:b1:1"]


def test_an_event_is_published_at_once_after_somebody_deleted_its_queue(amqp_url, loaves, relay):
    relay.publisher.publish([])  # the first connection declares everything
    with Connection(amqp_url) as connection:
        connection.channel().queue_delete(QUEUE)
    add(loaves, "b1")

    assert relay.flush() == 1

    assert len(received(amqp_url)) == 1


def test_an_event_is_not_published_by_a_second_relay_while_the_first_one_has_it(amqp_url, loaves, relay):
    add(loaves, "b1")
    seen = []
    with meanwhile(amqp_url, lambda: seen.append(relay.flush())) as publisher:
        assert Relay(publisher, [loaves]).flush() == 1

    assert seen == [0]
    assert len(received(amqp_url)) == 1


def test_an_event_saved_while_others_are_published_follows_them(amqp_url, loaves):
    add(loaves, "b1")

    with meanwhile(amqp_url, lambda: change(loaves, "b1", 2)) as publisher:
        assert Relay(publisher, [loaves]).flush() == 2

    assert full(loaves) == 0
    assert [message.headers["version"] for message in received(amqp_url)] == [1, 2]


@pytest.mark.parametrize(
    "poison",
    [{"name": "LoafStolen"}, {"id": "x" * 300}, {"body": {"of": ObjectId()}}, {"body": {"photo": b"bytes"}}],
)
def test_what_can_never_be_published_holds_up_only_what_is_behind_it(amqp_url, loaves, relay, poison):
    for ident in ("b1", "b2", "b3"):
        add(loaves, ident)
    change(loaves, "b2", 2)
    change(loaves, "b2", 3)
    spoil(loaves, "b2", 1, **poison)

    assert relay.flush() == 3

    assert versions(received(amqp_url)) == [("b1", 1), ("b2", 1), ("b3", 1)]
    left = loaves.collection.find_one({"outbox_at": {"$exists": True}})
    assert [pending["version"] for pending in left["outbox"]] == [2, 3]


def test_an_event_of_another_part_holds_up_only_its_own_aggregate(amqp_url, loaves):
    with Connection(amqp_url) as connection:
        topology.declare_consumed(connection.channel(), "labels", [LoafBaked])
    for ident in ("b1", "b2", "b3"):
        add(loaves, ident)
    spoil(loaves, "b2", 0, name="FlourDelivered", exchange="mill.events")
    relay = relay_of(SimpleNamespace(loaves=loaves), CATALOGUE, "oven", amqp_url)

    assert relay.flush() == 2

    relay.publisher.close()
    assert versions(received(amqp_url)) == [("b1", 1), ("b3", 1)]


def test_the_first_events_of_many_aggregates_leave_in_one_batch_and_then_the_second(loaves):
    batches = []
    publisher = FakePublisher()
    publisher.publish = lambda batch: batches.append(sorted(message.message_id for message in batch)) or {}
    for ident in ("b1", "b2"):
        add(loaves, ident)
        change(loaves, ident, 2)

    Relay(publisher, [loaves]).flush()

    assert batches == [[f"LoafBaked:{ident}:{version}" for ident in ("b1", "b2")] for version in (1, 2)]


def test_a_relay_that_lost_its_lease_leaves_that_of_its_successor(loaves):
    taken = {"$set": {"relay": {"lease": "its successor's", "until": NOON, "attempts": 0}}}
    publisher = FakePublisher()
    publisher.publish = lambda batch: loaves.collection.update_one({"_id": "b1"}, taken) and {}
    add(loaves, "b1")

    Relay(publisher, [loaves]).flush()

    assert loaves.collection.find_one({"_id": "b1"})["relay"]["lease"] == "its successor's"


def test_what_a_dead_relay_had_leased_is_published_when_the_clock_of_mongodb_was_set_back(loaves):
    add(loaves, "b1")
    taken = {"lease": "a dead relay's", "until": utc_now() + timedelta(hours=1), "attempts": 0}
    loaves.collection.update_one({"_id": "b1"}, {"$set": {"relay": taken}})

    assert Relay(FakePublisher(), [loaves]).flush() == 1


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 2), (3, 16), (9, 30)])
def test_a_refused_event_waits_longer_each_time(loaves, attempts, seconds):
    publisher = FakePublisher()
    publisher.refuse = {"LoafBaked:b1:1": "nacked"}
    add(loaves, "b1")
    loaves.collection.update_one({"_id": "b1"}, {"$set": {"relay": {"until": NOON, "attempts": attempts}}})

    Relay(publisher, [loaves]).flush()

    relay = loaves.collection.find_one({"_id": "b1"})["relay"]
    assert relay["attempts"] == attempts + 1
    assert seconds - 2 < (relay["until"] - utc_now()).total_seconds() <= seconds


def test_an_event_that_is_refused_for_ever_raises_an_alarm(loaves, caplog):
    publisher = FakePublisher()
    publisher.refuse = {"LoafBaked:b1:1": "nacked"}
    add(loaves, "b1")

    for attempts in range(ALARM_EVERY):
        loaves.collection.update_one({"_id": "b1"}, {"$set": {"relay": {"until": NOON, "attempts": attempts}}})
        Relay(publisher, [loaves]).flush()

    assert caplog.text.count("ALARM event_unpublished: LoafBaked:b1:1 could not be published 20 times: nacked") == 1


def test_a_relay_that_can_publish_nothing_raises_an_alarm(monkeypatch, caplog):
    relay, tries = Relay(FakePublisher(), []), []
    monkeypatch.setattr("libs.events.relay.pause_after", lambda failures: 0)

    def flush():
        tries.append(1)
        if len(tries) == ALARM_EVERY:
            relay.stop()
        raise BrokerUnavailable("it does not answer")

    monkeypatch.setattr(relay, "work", flush)
    relay.run()

    assert caplog.text.count("ALARM relay_stuck") == 1


def test_what_is_left_is_as_old_as_its_oldest_event(loaves):
    publisher = FakePublisher()
    publisher.refuse = {"LoafBaked:b1:2": "nacked"}
    add(loaves, "b1")
    change(loaves, "b1", 2)

    Relay(publisher, [loaves]).flush()

    left = loaves.collection.find_one({"_id": "b1"})
    assert left["outbox_at"] == left["outbox"][0]["at"]


def test_what_is_behind_a_refused_event_is_not_published_before_it(amqp_url, loaves, relay):
    add(loaves, "b3")
    change(loaves, "b3", 2)
    spoil(loaves, "b3", 0, name="LoafBurnt")  # no queue is bound for it

    assert relay.flush() == 0

    assert received(amqp_url) == []


def test_a_write_is_published_at_once(amqp_url, loaves, relay):
    relay.poll_seconds = 60
    relay.attach()
    with running(relay):
        add(loaves, "b1")
        wait_for(lambda: full(loaves) == 0, 10)
        change(loaves, "b1", 2)

        wait_for(lambda: queue_length(amqp_url, QUEUE) == 2, 10)


def test_no_write_waits_for_a_broker_that_answers_nothing(loaves):
    publisher, began, go_on = FakePublisher(), threading.Event(), threading.Event()
    publisher.publish = lambda batch: began.set() or go_on.wait(30) and {}
    relay = Relay(publisher, [loaves])
    relay.attach()
    with running(relay):
        add(loaves, "b1")
        assert began.wait(5)

        for version in range(2, 12):
            change(loaves, "b1", version)

        assert not go_on.is_set() and loaves.find("b1")["version"] == 11
        go_on.set()
        wait_for(lambda: full(loaves) == 0)


def test_a_relay_outlives_every_error(loaves, monkeypatch):
    failed = []

    def publish(batch):
        failed.append(batch)
        raise AttributeError("a bug in a driver")

    publisher = Publisher("amqp://127.0.0.1:1/")
    monkeypatch.setattr(publisher, "publish", publish)
    relay = Relay(publisher, [loaves], poll_seconds=0.1)
    add(loaves, "b1")
    with running(relay) as thread:
        wait_for(lambda: failed, 3)
        assert thread.is_alive()

    assert len(loaves.collection.find_one()["outbox"]) == 1


@pytest.mark.parametrize("moment", ["kill-before", "kill-after"])
def test_a_relay_killed_before_or_after_it_published_loses_nothing(amqp_url, mongo_url, loaves, relay, moment):
    add(loaves, "b1")
    with relay_process(amqp_url, mongo_url, moment) as killed:
        assert killed.wait(10) == -signal.SIGKILL

    wait_for(lambda: relay.flush() == 1, 5)

    assert full(loaves) == 0
    assert versions(received(amqp_url)) == [("b1", 1)] * (2 if moment == "kill-after" else 1)


@pytest.mark.parametrize("moment", ["stop-before", "stop-after"])
def test_a_relay_paused_past_its_lease_repeats_itself_at_worst(amqp_url, mongo_url, loaves, relay, moment):
    add(loaves, "b1")
    with relay_process(amqp_url, mongo_url, moment) as paused:
        wait_for(lambda: is_stopped(paused))
        wait_for(lambda: relay.flush() == 1, 5)
        change(loaves, "b1", 2)
        relay.flush()
        change(loaves, "b1", 3)
        paused.send_signal(signal.SIGCONT)

        wait_for(lambda: full(loaves) == 0, 5)

    assert firsts(received(amqp_url)) == {"b1": [1, 2, 3]}


def test_two_relays_and_many_writers_lose_nothing_and_keep_the_order(amqp_url, mongo_url, loaves):
    def write(ident):
        add(loaves, ident)
        for version in range(2, 31):
            change(loaves, ident, version)

    with relay_process(amqp_url, mongo_url), relay_process(amqp_url, mongo_url), ThreadPoolExecutor(8) as pool:
        list(pool.map(write, [f"b{number}" for number in range(16)]))
        wait_for(lambda: full(loaves) == 0, 20)

    assert firsts(received(amqp_url)) == {f"b{number}": list(range(1, 31)) for number in range(16)}


def test_an_unreachable_broker_loses_nothing(loaves):
    add(loaves, "b1")
    unreachable = Relay(Publisher("amqp://guest:guest@127.0.0.1:1/"), [loaves])

    with pytest.raises(BrokerUnavailable):
        unreachable.flush()

    stored = loaves.collection.find_one({"_id": "b1"})
    assert len(stored["outbox"]) == 1 and "relay" not in stored


def test_a_broadcast_without_a_listener_is_not_kept(mongo, relay):
    doors = Aggregates(mongo.doors)
    door = {"id": "d1", "version": 1}
    doors.add(door, DoorOpened, door)

    assert Relay(relay.publisher, [doors]).flush() == 1


@pytest.mark.lengthy
def test_a_long_outage_with_many_writes_costs_few_tries_and_never_ends_the_relay(monkeypatch):
    tries = []

    class Unreachable:
        def publish(self, batch):
            raise AssertionError("there is nothing to publish")

    loaves = Aggregates(None)
    relay = Relay(Unreachable(), [loaves])
    relay.attach()
    monkeypatch.setattr(relay, "work", lambda: tries.append(1) or 1 / 0)
    thread = threading.Thread(target=relay.run)
    thread.start()
    for _ in range(50):
        loaves.saved("b1", {}, True)
        time.sleep(0.01)
    relay.stop()
    thread.join(5)

    assert not thread.is_alive()
    assert len(tries) <= 2
    assert pause_after(100_000) <= 5
