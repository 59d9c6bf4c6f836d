import json
import signal
from contextlib import closing
from types import SimpleNamespace

import pytest
from kombu import Connection

from dev.testing import nameko_service, queue_length, wait_for
from libs.amqp import Outgoing, Publisher
from libs.amqp.consumer import QueueConsumer
from libs.context import correlation_id
from libs.events import Unavailable, batches, topology
from libs.events.batches import BatchHandler
from libs.events.parking import Parking
from libs.events.tests.bakery.catalogue import CATALOGUE, LoafBaked
from libs.events.tests.fakes import FakePublisher

QUEUE = "labels.LoafBaked"
PROBE = "libs.events.tests.batch_probe:BatchProbe"


def a_loaf(ident, version=1):
    return {"id": ident, "version": version, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}


class Message(SimpleNamespace):
    """A message as the queue consumer hands it over."""

    def __init__(self, tag, ident, body=None):
        properties, headers = {"message_id": f"event-{ident}"}, {"nameko.correlation_id": f"work-{ident}"}
        super().__init__(
            delivery_tag=tag,
            body=json.dumps(a_loaf(ident)).encode() if body is None else body,
            headers=headers,
            properties=properties,
            content_type="application/json",
            content_encoding="utf-8",
            channel=SimpleNamespace(connection=True),
        )

    __hash__ = object.__hash__


class Container:
    """Runs workers and threads at once."""

    service_name = "labels"

    def __init__(self, method):
        self.service = SimpleNamespace(on_loaves=method)
        self.context_data = []

    def spawn_managed_thread(self, run, identifier):
        run()

    def spawn_worker(self, entrypoint, args, kwargs, context_data, handle_result):
        self.context_data.append(context_data)
        try:
            self.service.on_loaves(*args)
            exc_info = None
        except Exception as error:
            exc_info = (type(error), error, None)
        handle_result(SimpleNamespace(service=self.service), None, exc_info)


class Consumer:
    """Notes what was acknowledged, as ("until", tag), and requeued."""

    def __init__(self):
        self.done = []

    def ack_until(self, message):
        self.done.append(("until", message.delivery_tag))

    def requeue_message(self, message):
        self.done.append(("requeued", message.delivery_tag))


@pytest.fixture
def handler_of(monkeypatch):
    """Return a handler that calls a method, in this thread."""
    monkeypatch.setattr("libs.events.handlers.REQUEUE_SECONDS", 0)

    def handler_of(method):
        handler = BatchHandler(LoafBaked)
        handler.method_name, handler.container, handler.consumer = "on_loaves", Container(method), Consumer()
        handler.queue = topology.listener_queue("labels", LoafBaked)
        handler.retries = SimpleNamespace(publisher=FakePublisher())
        return handler

    return handler_of


def handle(handler, *messages):
    """Let the handler handle messages that wait together."""
    handler._is_working = True
    for message in messages:
        handler.received(message)
    handler._work_off()


def put(handler):
    """What was put into other queues: where, and which event."""
    return [(message.exchange, message.message_id) for message in handler.retries.publisher.published]


def test_what_waits_is_handled_by_one_call_and_acknowledged_by_one_command(handler_of):
    calls = []
    handler = handler_of(lambda loaves: calls.append([loaf["id"] for loaf in loaves]))

    handle(handler, *(Message(tag, f"b{tag}") for tag in range(1, 251)))

    assert [len(call) for call in calls] == [100, 100, 50]
    assert sum(calls, []) == [f"b{tag}" for tag in range(1, 251)]
    assert handler.consumer.done == [("until", 100), ("until", 200), ("until", 250)]


def test_one_event_alone_keeps_its_correlation_id_and_several_have_none_of_one_of_them(handler_of):
    handler = handler_of(lambda loaves: None)

    handle(handler, Message(1, "b1"))
    handle(handler, Message(2, "b2"), Message(3, "b3"))

    assert handler.container.context_data == [{"correlation_id": "work-b1"}, {}]


def test_the_line_of_each_event_of_a_batch_has_its_own_correlation_id(handler_of, caplog):
    caplog.set_level("INFO")
    caplog.handler.addFilter(lambda record: setattr(record, "work", correlation_id()) or True)

    handle(handler_of(lambda loaves: None), Message(1, "b1"), Message(2, "b2"))

    assert [(record.args[2], record.work) for record in caplog.records] == [
        ("event-b1", "work-b1"),
        ("event-b2", "work-b2"),
    ]


@pytest.mark.parametrize("error", [RuntimeError("it makes no sense"), Unavailable("its mill is unreachable")])
def test_an_event_that_fails_is_retried_alone_and_its_neighbours_are_handled(handler_of, error):
    handled = []

    def method(loaves):
        if any(loaf["id"] == "b2" for loaf in loaves):
            raise error
        handled.extend(loaf["id"] for loaf in loaves)

    handler = handler_of(method)
    handle(handler, Message(1, "b1"), Message(2, "b2"), Message(3, "b3"))

    assert handled == ["b1", "b3"]
    assert put(handler) == [("labels.wait.100", "event-b2")]
    assert handler.consumer.done == [("until", 3)]


def test_an_event_that_cannot_be_read_is_parked_alone_and_its_neighbours_are_handled_together(handler_of):
    calls = []
    handler = handler_of(lambda loaves: calls.append([loaf["id"] for loaf in loaves]))

    handle(handler, Message(1, "b1"), Message(2, "b2", b"{broken"), Message(3, "b3"))

    assert calls == [["b1", "b3"]]
    assert put(handler) == [("labels.parking", "event-b2")]
    assert handler.consumer.done == [("until", 3)]


def test_an_event_that_can_be_neither_retried_nor_parked_is_requeued_and_its_neighbours_acknowledged(handler_of):
    handler = handler_of(lambda loaves: None)
    handler.retries.publisher.refuse = {"event-b2": "nacked", "event-b4": "nacked"}

    handle(handler, Message(1, "b1"), Message(2, "b2", b"{"), Message(3, "b3"), Message(4, "b4", b"{"))

    assert handler.consumer.done == [("requeued", 2), ("requeued", 4), ("until", 3)]


def test_events_that_take_too_long_to_fail_are_retried_and_never_parked(handler_of, monkeypatch):
    monkeypatch.setattr(batches, "ALONE_SECONDS", -1)
    handler = handler_of(lambda loaves: 1 / 0)
    messages = [Message(1, "b1"), Message(2, "b2")]
    for message in messages:
        message.headers["x-attempt"] = 50

    handle(handler, *messages)

    assert put(handler) == [("labels.wait.30000", "event-b1"), ("labels.wait.30000", "event-b2")]


def test_what_comes_while_a_batch_is_handled_is_handled_after_it_in_order(handler_of):
    calls = []

    def method(loaves):
        calls.append([loaf["id"] for loaf in loaves])
        if len(calls) == 1:
            handler.received(Message(2, "b2"))
            handler.received(Message(3, "b3"))

    handler = handler_of(method)
    handler.received(Message(1, "b1"))

    assert calls == [["b1"], ["b2", "b3"]]


def test_what_waits_at_a_stop_is_left_to_the_broker(handler_of):
    handled = []

    def method(loaves):
        handled.extend(loaf["id"] for loaf in loaves)
        handler.received(Message(2, "b2"))
        handler.stop()

    handler = handler_of(method)
    handler.consumer.unregister_provider = lambda provider: None
    handler.received(Message(1, "b1"))

    assert (handled, handler.consumer.done) == (["b1"], [("until", 1)])


def test_what_came_over_a_lost_connection_is_left_to_the_broker(handler_of):
    handled = []
    handler = handler_of(lambda loaves: handled.extend(loaf["id"] for loaf in loaves))
    lost = Message(7, "b1")
    lost.channel.connection = None

    handle(handler, lost, Message(1, "b2"))

    assert (handled, handler.consumer.done) == (["b2"], [("until", 1)])


def publish(amqp_url, loaves):
    messages = [
        Outgoing("oven.events", "LoafBaked", json.dumps(loaf).encode(), {}, f"{loaf['id']}:{loaf['version']}")
        for loaf in loaves
    ]
    with closing(Publisher(amqp_url, declare=CATALOGUE.declare)) as publisher:
        assert publisher.publish(messages) == {}


def test_of_a_batch_at_the_broker_exactly_what_was_requeued_comes_again(amqp_url, handler_of):
    publish(amqp_url, [a_loaf("b1"), a_loaf("b2"), a_loaf("b3"), a_loaf("b4")])
    handler = handler_of(lambda loaves: None)
    handler.consumer = QueueConsumer()
    handler.retries.publisher.refuse = {"b2:1": "nacked"}
    with Connection(amqp_url) as connection:
        channel = connection.channel()
        first, second, third, fourth = [channel.message_to_python(channel.basic_get(QUEUE)) for _ in range(4)]

        handler.settle([(first, None), (second, RuntimeError("no")), (third, None)], 0.0)
        channel.close()

    wait_for(lambda: queue_length(amqp_url, QUEUE) == 2)
    with Connection(amqp_url) as connection:
        left = {connection.default_channel.basic_get(QUEUE).properties["message_id"] for _ in range(2)}
    assert left == {second.properties["message_id"], fourth.properties["message_id"]} == {"b2:1", "b4:1"}


def test_a_process_killed_between_the_write_and_the_acknowledgement_of_a_batch_loses_none(amqp_url, mongo_url, mongo):
    loaves = [a_loaf(f"b{number}", version) for version in range(1, 7) for number in range(25)]
    publish(amqp_url, [*loaves, a_loaf("poison")])
    settings = {"AMQP_URI": amqp_url, "MONGO_URL": mongo_url}

    with nameko_service(PROBE, QUEUE, **settings) as killed:
        assert killed.wait(15) == 137
    before = mongo.notes.count_documents({})
    wait_for(lambda: queue_length(amqp_url, QUEUE) == len(loaves) + 1)  # nothing of the batch was acknowledged
    with nameko_service(PROBE, QUEUE, **settings) as service:
        wait_for(lambda: Parking(amqp_url, [QUEUE]).count() == {QUEUE: 1})
        wait_for(lambda: mongo.notes.count_documents({}) == before + len(loaves))
        service.send_signal(signal.SIGTERM)
        assert service.wait(15) == 0

    notes = list(mongo.notes.find().sort("$natural", 1))[before:]
    assert {(note["loaf_id"], note["version"]) for note in notes} == {(loaf["id"], loaf["version"]) for loaf in loaves}
    for number in range(25):
        assert [note["version"] for note in notes if note["loaf_id"] == f"b{number}"] == [1, 2, 3, 4, 5, 6]
    assert queue_length(amqp_url, QUEUE) == 0
    assert before > 0 and len({note["call"] for note in notes}) < len(loaves)
