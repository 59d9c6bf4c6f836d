import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from unittest.mock import Mock

import pymongo
import pytest
from kombu import Connection
from pymongo.errors import OperationFailure
from redis.exceptions import AuthenticationError, NoPermissionError

from dev.stack import free_ports
from dev.testing import metric, nameko_service, new_database, queue_length, wait_for
from libs.amqp import Outgoing, Publisher
from libs.amqp.container import Container
from libs.amqp.publisher import Blocked
from libs.amqp.tests.malformed import MALFORMED, publish_malformed
from libs.events import Unavailable, handles, topology
from libs.events.handlers import EventHandler, RetryPublisher, Unreadable, _attempt, next_delay
from libs.events.parking import Parking, Selection
from libs.events.tests.bakery.catalogue import CATALOGUE, LoafBaked, LoafSold
from libs.events.tests.fakes import FakePublisher
from libs.events.topology import DELAYS_SECONDS

ALL_QUEUES = CATALOGUE.queue_names()
QUEUE = "labels.LoafBaked"
PROBE = "libs.events.tests.probe:Probe"


@pytest.fixture
def publisher(amqp_url):
    publisher = Publisher(amqp_url, declare=CATALOGUE.declare)
    yield publisher
    publisher.close()


@pytest.fixture(scope="module")
def database_url(servers):
    with new_database(servers) as url:
        yield url


@pytest.fixture
def mongo(database_url):
    with pymongo.MongoClient(database_url) as client:
        database = client.get_default_database()
        database.notes.delete_many({})
        database.behaviours.delete_many({})
        yield database


@pytest.fixture(scope="module")
def metrics_port():
    return free_ports().metrics


@pytest.fixture(scope="module")
def running(broker_url, database_url, metrics_port):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METRICS_PORT", str(metrics_port))
        with nameko_service(PROBE, QUEUE, AMQP_URI=broker_url, MONGO_URL=database_url) as service:
            yield service


@pytest.fixture
def probe(running, amqp_url):
    """The probe, at work on queues that were empty a moment ago."""
    return running


def send(publisher, loaf_id, version=1):
    body = {"id": loaf_id, "version": version, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}
    message = Outgoing(
        "oven.events",
        "LoafBaked",
        json.dumps(body).encode(),
        {"nameko.token": "secret"},
        f"event-{loaf_id}",
    )
    assert publisher.publish([message]) == {}


def behave(mongo, loaf_id, behaviour):
    mongo.behaviours.update_one({"_id": loaf_id}, {"$set": {"behaviour": behaviour}}, upsert=True)


def handled(mongo, loaf_id):
    return mongo.notes.count_documents({"loaf_id": loaf_id})


def test_a_failing_event_is_retried_then_parked_with_the_reason_and_others_go_on(mongo, amqp_url, publisher, probe):
    behave(mongo, "b1", "bad")

    send(publisher, "b1")
    send(publisher, "b2")
    wait_for(lambda: Parking(amqp_url, ALL_QUEUES).count() == {QUEUE: 1})

    assert (handled(mongo, "b1"), handled(mongo, "b2")) == (3, 1)
    (parked,) = Parking(amqp_url, ALL_QUEUES).show(Selection(QUEUE))
    assert (parked.event_id, parked.attempts) == ("event-b1", 3)
    assert parked.reason == "RuntimeError: this loaf makes no sense"
    assert parked.exception == "RuntimeError"
    assert json.loads(parked.body)["id"] == "b1"
    with Connection(amqp_url) as connection:
        headers = connection.channel().basic_get(topology.parked_name(QUEUE)).headers
    assert (headers["nameko.token"], headers["x-queue"]) == ("secret", QUEUE)  # as they came, and ours


def test_each_try_is_observed_with_its_time_and_outcome(mongo, publisher, probe, metrics_port):
    def observed(sample="count", **labels):
        return metric(metrics_port, f"events_handled_seconds_{sample}", queue=QUEUE, **labels)

    def by_outcome():
        return Counter({outcome: observed(outcome=outcome) for outcome in ("handled", "retried", "parked", "requeued")})

    before, quick, seconds = by_outcome(), observed("bucket", le="10.0"), observed("sum")
    behave(mongo, "b1", "bad")
    send(publisher, "b1")
    send(publisher, "b2")
    publisher.publish([Outgoing("oven.events", "LoafBaked", b"{broken")])

    wait_for(lambda: (by_outcome() - before).total() == 5)

    assert by_outcome() - before == {"handled": 1, "retried": 2, "parked": 2}
    assert observed("bucket", le="10.0") - quick == 5
    assert observed("sum") > seconds


def test_a_parked_event_is_replayed_once_its_cause_is_gone(mongo, amqp_url, publisher, probe):
    behave(mongo, "b1", "bad")
    send(publisher, "b1")
    wait_for(lambda: Parking(amqp_url, ALL_QUEUES).count() == {QUEUE: 1})
    behave(mongo, "b1", "good")

    assert Parking(amqp_url, ALL_QUEUES).replay(Selection(QUEUE)) == (1, 0)

    wait_for(lambda: handled(mongo, "b1") == 4)
    assert Parking(amqp_url, ALL_QUEUES).count() == {}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{broken", "application/json"),
        (b"\x80\x04.", "application/x-python-serialize"),
        (b'{"id": "b1"}', "application/json"),
        (b"[" * 100_000, "application/json"),
        ('{"id": "café"}'.encode("latin-1"), "application/json; charset=latin-1"),
        ('{"id": "b1"}'.encode("utf-16"), "application/json; charset=utf-16"),
    ],
)
def test_what_cannot_be_read_is_parked_as_it_came(amqp_url, publisher, probe, body, content_type):
    kind, _, encoding = content_type.partition("; charset=")
    event = Outgoing(
        "oven.events", "LoafBaked", body, {"x-attempt": "many"}, content_type=kind, content_encoding=encoding or "utf-8"
    )
    publisher.publish([event])

    wait_for(lambda: queue_length(amqp_url, f"{QUEUE}.parked") == 1)

    with Connection(amqp_url) as connection:
        channel = connection.channel()
        channel.auto_decode = False
        parked = channel.basic_get(f"{QUEUE}.parked")
    assert parked.body == body
    assert parked.headers["x-reason"].startswith("Unreadable")
    wait_for(lambda: queue_length(amqp_url, f"{QUEUE}.parked") == 1)
    (shown,) = Parking(amqp_url, ALL_QUEUES).show(Selection(QUEUE))
    assert (shown.attempts, shown.reason[:10]) == (1, "Unreadable")
    assert datetime.fromisoformat(shown.failed_at) <= datetime.now(UTC)


A_LOAF = b'{"id": "b3", "version": 1, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}'


@pytest.mark.parametrize("flaw", MALFORMED)
def test_an_event_that_no_library_can_read_is_parked_and_the_next_is_handled(mongo, amqp_url, publisher, probe, flaw):
    body = publish_malformed(amqp_url, flaw, "oven.events", "LoafBaked", A_LOAF)
    wait_for(lambda: queue_length(amqp_url, f"{QUEUE}.parked") == 1)
    send(publisher, "b2")

    wait_for(lambda: handled(mongo, "b2") == 1)
    assert handled(mongo, "b3") == 0
    (shown,) = Parking(amqp_url, ALL_QUEUES).show(Selection(QUEUE))
    assert shown.reason.startswith("Unreadable")
    with Connection(amqp_url) as connection:
        assert connection.channel().basic_get(f"{QUEUE}.parked").body == body
    assert probe.poll() is None


@pytest.mark.parametrize(
    "headers",
    [{"x-attempt": 2**63 - 1}, {"x-failed-at": 7}, {"x": Decimal(2**31 - 1).scaleb(-9)}, {"x": "x" * 130_000}],
)
def test_an_event_with_odd_headers_is_retried_and_parked_like_any_other(mongo, amqp_url, publisher, probe, headers):
    behave(mongo, "b3", "bad")
    publisher.publish([Outgoing("oven.events", "LoafBaked", A_LOAF, headers)])

    wait_for(lambda: Parking(amqp_url, ALL_QUEUES).count() == {QUEUE: 1})

    (shown,) = Parking(amqp_url, ALL_QUEUES).show(Selection(QUEUE))
    assert shown.reason == "RuntimeError: this loaf makes no sense"
    assert handled(mongo, "b3") >= 1


@pytest.mark.parametrize("given", [-10, 0, "many", None, 1])
def test_an_invalid_count_of_tries_counts_as_the_first(given):
    assert _attempt({"x-attempt": given}) == 1


@pytest.fixture
def handler():
    """A handler with two delays of its own, whose publisher keeps what it is given."""
    handler = EventHandler(LoafBaked, delays_seconds=(0.2, 7.0))
    handler.container = SimpleNamespace(service_name="labels")
    handler.queue = topology.listener_queue("labels", LoafBaked)
    handler.retries = SimpleNamespace(publisher=FakePublisher())
    return handler


def a_message(**headers):
    body = b'{"id": "b1", "version": 1, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}'
    return SimpleNamespace(body=body, headers=headers, properties={}, content_type=None, content_encoding=None)


def test_each_try_waits_as_long_as_its_handler_says(handler):
    for attempt in (1, 2, 3):
        handler._retry_or_park(a_message(**{"x-attempt": attempt}), RuntimeError("it makes no sense"))

    put = [message.exchange for message in handler.retries.publisher.published]
    assert put == ["labels.wait.200", "labels.wait.7000", "labels.parking"]


def test_an_event_that_fails_for_ever_raises_an_alarm_every_twentieth_time(handler, caplog):
    for attempt in range(1, 61):
        handler._retry_or_park(a_message(**{"x-attempt": attempt}), Unavailable("the shop is closed"))

    raised = [record.getMessage() for record in caplog.records if "ALARM event_stuck" in record.getMessage()]
    assert [f"failed {count} times" in sentence for sentence, count in zip(raised, (20, 40, 60), strict=True)] == [
        True
    ] * 3
    assert {message.exchange for message in handler.retries.publisher.published[2:]} == {"labels.wait.7000"}


def test_an_event_waits_while_the_broker_is_blocked_instead_of_being_requeued_until_it_is_parked(handler, monkeypatch):
    publisher, pauses = handler.retries.publisher, []
    arrive = publisher.publish

    def publish(batch):
        if len(pauses) < 200:
            raise Blocked("a memory alarm")
        return arrive(batch)

    monkeypatch.setattr("time.sleep", pauses.append)
    publisher.publish = publish

    assert handler._retry_or_park(a_message(), Unavailable("the shop is closed")) == "retried"
    assert len(publisher.published) == 1


def test_a_service_with_an_event_that_failed_can_be_stopped_while_the_broker_is_blocked(handler, monkeypatch):
    handler.consumer = Mock()
    handler.retries.publisher.publish = Mock(side_effect=Blocked("a memory alarm"))
    monkeypatch.setattr("time.sleep", lambda _: handler.stop())

    with pytest.raises(Blocked):
        handler._retry_or_park(a_message(), Unavailable("the shop is closed"))


def test_headers_on_which_the_broker_would_act_go_no_further(handler):
    for attempt in (1, 3):
        handler._retry_or_park(a_message(**{"x-attempt": attempt, "x-death": [1], "CC": ["x"]}), RuntimeError("no"))

    retried, parked = handler.retries.publisher.published
    assert set(retried.headers) == {"x-attempt", "x-reason", "x-failed-at"}
    assert set(parked.headers) == {"x-attempt", "x-reason", "x-failed-at", "x-queue"}


def test_of_a_messages_headers_only_the_correlation_id_is_passed_on(handler):
    seen = []
    handler.container.spawn_worker = lambda *arguments, context_data, **options: seen.append(context_data)

    handler.handle_message(a_message(**{"nameko.token": "secret", "nameko.correlation_id": "c1", "version": 1}))

    assert seen == [{"correlation_id": "c1"}]


def test_a_handler_of_several_events_gets_each_from_its_own_queue():
    class Waiter:
        name = "labels"

        @handles(LoafBaked, LoafSold, delays_seconds=(1.0,))
        def on_loaf(self, loaf): ...

    handlers = Container(Waiter, {"AMQP_URI": ""}).entrypoints

    assert {(handler.method_name, handler.event.name, handler.delays_seconds) for handler in handlers} == {
        ("on_loaf", "LoafBaked", (1.0,)),
        ("on_loaf", "LoafSold", (1.0,)),
    }


def test_an_unavailable_dependency_never_parks_an_event(mongo, amqp_url, publisher, probe):
    behave(mongo, "b1", "unavailable")
    send(publisher, "b1")

    wait_for(lambda: handled(mongo, "b1") >= 6)

    assert Parking(amqp_url, ALL_QUEUES).count() == {}
    behave(mongo, "b1", "good")
    wait_for(lambda: handled(mongo, "good") == 1)


def test_an_event_that_can_be_neither_retried_nor_parked_is_requeued_after_a_pause(mongo, amqp_url, publisher, probe):
    behave(mongo, "b1", "bad")
    with Connection(amqp_url) as connection:
        connection.channel().exchange_delete("labels.wait.50")
        connection.channel().exchange_declare("labels.wait.50", "direct", auto_delete=False)  # not ours
        send(publisher, "b1")
        wait_for(lambda: handled(mongo, "b1") == 2)

        assert Parking(amqp_url, ALL_QUEUES).count() == {}
        connection.channel().exchange_delete("labels.wait.50")
        topology.declare_waits(connection.channel(), "labels", (0.05,))

    wait_for(lambda: Parking(amqp_url, ALL_QUEUES).count() == {QUEUE: 1})
    assert handled(mongo, "b1") < 8


@pytest.mark.parametrize("code", [13, 18])
def test_no_event_is_parked_while_a_password_or_right_is_changed(code):
    refused = [OperationFailure("refused", code), AuthenticationError("WRONGPASS"), NoPermissionError("NOPERM")]

    assert {next_delay(error, 100, DELAYS_SECONDS) for error in refused} == {DELAYS_SECONDS[-1]}


@pytest.mark.parametrize(
    ("error", "attempt", "delay"),
    [
        (RuntimeError(), 1, DELAYS_SECONDS[0]),
        (RuntimeError(), len(DELAYS_SECONDS), DELAYS_SECONDS[-1]),
        (RuntimeError(), len(DELAYS_SECONDS) + 1, None),
        (Unavailable(), len(DELAYS_SECONDS) + 100, DELAYS_SECONDS[-1]),
        (Unreadable(), 1, None),
    ],
)
def test_delays_grow_and_end_only_for_what_cannot_get_better(error, attempt, delay):
    assert next_delay(error, attempt, DELAYS_SECONDS) == delay


def test_queue_of_a_delay_is_declared_for_the_first_handler_that_needs_it():
    retries = RetryPublisher()
    first, second = EventHandler(LoafBaked), EventHandler(LoafSold, delays_seconds=(1.0, 7.0))
    retries.handlers += [first, second]

    assert [retries.delays_of(handler) for handler in (first, second)] == [[0.1, 1.0, 5.0, 30.0], [7.0]]
