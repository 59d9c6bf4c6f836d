"""What operators do about parked events, at a real broker; services offer it by RPC (libs/parked_events.py)."""

from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from kombu import Connection

from dev.testing import queue_length
from libs.amqp import Outgoing, Publisher
from libs.events import parking, topology
from libs.events.parking import Group, Parking, ParkingProvider, Selection
from libs.events.tests.bakery.catalogue import CATALOGUE

QUEUE, OTHER = "labels.LoafBaked", "labels.LoafSold"
KEYS = ("KeyError: 'spelt'", "2026-11-26T12:00:00+00:00")
TYPE, EARLIER = ("TypeError: no loaf", "2026-11-26T11:00:00+00:00"), ("KeyError: 'rye'", "2026-11-26T10:00:00+00:00")


@pytest.fixture
def parked(amqp_url):
    """The parking of the labels, and a function that parks an event with a reason and further headers."""
    with closing(Publisher(amqp_url)) as publisher:

        def park(ident, about=KEYS, queue=QUEUE, body=b"{}", **headers):
            reason, failed_at = about
            headers = {"x-attempt": 3, "x-reason": reason, "x-failed-at": failed_at, **headers}
            event = Outgoing("", topology.parked_name(queue), body, headers, ident)
            assert publisher.publish([event]) == {}

        yield Parking(amqp_url, [QUEUE, OTHER]), park


def ids(events):
    return [event.event_id for event in events]


def test_parked_events_are_counted_by_queue_and_exception(parked):
    at_work, park = parked
    for ident, *about in (("a", KEYS), ("b", TYPE), ("c", EARLIER), ("d", KEYS, OTHER), ("e", ("a bug", ""), OTHER)):
        park(ident, *about)

    assert at_work.groups() == [
        Group(QUEUE, "KeyError", 2, EARLIER[1]),
        Group(QUEUE, "TypeError", 1, TYPE[1]),
        Group(OTHER, "KeyError", 1, KEYS[1]),
        Group(OTHER, "", 1, ""),
    ]


def test_what_there_is_no_time_to_look_at_is_counted_all_the_same(parked, monkeypatch):
    at_work, park = parked
    for ident in ("a", "b"):
        park(ident)
    monkeypatch.setattr(parking, "LOOK_SECONDS", 0.0)

    assert at_work.groups() == [Group(QUEUE, None, 2)]
    assert at_work.replay(Selection(QUEUE)) == (0, 2)
    assert at_work.count() == {QUEUE: 2}


def test_what_an_earlier_version_parked_is_shown_and_discarded(parked, amqp_url):
    _, park = parked
    park("a", queue=OTHER)
    now = Parking(amqp_url, [QUEUE], retired=[OTHER, "labels.NeverDeclared"])

    assert now.groups() == [Group(OTHER, "KeyError", 1, KEYS[1])]
    assert ids(now.show(Selection(OTHER))) == ["a"]
    assert [size.queue for size in now.sizes()] == [QUEUE]
    assert now.discard(Selection(OTHER, ["a"]), lambda event, body: None) == (1, 0)
    assert now.count() == {}


def test_a_service_knows_the_retired_queues_that_were_its_own(monkeypatch):
    provider = ParkingProvider(["labels.NeverDeclared", "oven.NeverDeclared"])
    monkeypatch.setattr(provider, "container", SimpleNamespace(service_name="labels"))
    monkeypatch.setattr(provider, "retries", SimpleNamespace(handlers=[]))
    provider.parking = Parking("amqp://")

    provider.start()

    assert provider.parking.queues == provider.parking.retired == ["labels.NeverDeclared"]


def test_two_thousand_parked_events_are_all_there_for_whoever_looks_next(parked, amqp_url):
    at_work, _ = parked
    many = [Outgoing("", topology.parked_name(QUEUE), b"{}", {"x-reason": KEYS[0]}, str(each)) for each in range(2000)]
    with closing(Publisher(amqp_url)) as publisher:
        assert publisher.publish(many) == {}

    looks = [at_work.groups()[0].count for _ in range(2)]

    assert looks == [2000, 2000]
    assert at_work.discard(Selection(QUEUE, exception="KeyError"), lambda event, body: None) == (2000, 0)


def test_selected_events_are_shown_with_why_they_failed_and_stay_parked(parked):
    at_work, park = parked
    for ident, about in (("a", KEYS), ("b", TYPE), ("c", KEYS)):
        park(ident, about, body=b'{"id": "b1"}', **{"nameko.correlation_id": "c7"})

    (shown,) = at_work.show(Selection(QUEUE, exception="TypeError"))

    assert (shown.event_id, shown.reason, shown.attempts, shown.failed_at) == ("b", TYPE[0], 3, TYPE[1])
    assert (shown.replays, shown.correlation_id, shown.body) == (0, "c7", '{"id": "b1"}')
    assert ids(at_work.show(Selection(QUEUE, ["c", "b", "x"]))) == ["b", "c"]
    assert ids(at_work.show(Selection(QUEUE), limit=2)) == ["a", "b"]
    assert at_work.show(Selection(QUEUE, [])) == []
    assert at_work.count() == {QUEUE: 3}


def test_only_the_selected_events_are_replayed_and_how_often_is_counted(parked, amqp_url):
    at_work, park = parked
    for ident, about in (("a", KEYS), ("b", TYPE), ("c", KEYS)):
        park(ident, about, **{"x-replays": 4, "CC": ["elsewhere"]})

    assert at_work.replay(Selection(QUEUE, ["a", "b"], "KeyError")) == (1, 0)

    assert at_work.count() == {QUEUE: 2}
    with Connection(amqp_url) as connection:
        replayed = connection.channel().basic_get(QUEUE, no_ack=True)
    assert replayed.properties["message_id"] == "a"
    assert replayed.headers == {"x-replays": 5}  # nothing that the broker acts on, and all tries are before it again


def test_an_event_that_fails_again_at_once_is_replayed_once(parked, amqp_url):
    """Replaying ends, though each event comes back to the parking queue before the next is looked at."""
    at_work, park = parked
    for ident in ("a", "b"):
        park(ident)
    with Connection(amqp_url) as connection:
        channel = connection.channel()
        channel.queue_unbind(QUEUE, topology.home_name("labels"), QUEUE)
        channel.queue_bind(topology.parked_name(QUEUE), topology.home_name("labels"), QUEUE)
        try:
            assert at_work.replay(Selection(QUEUE)) == (2, 0)
            assert [event.replays for event in at_work.show(Selection(QUEUE))] == [1, 1]
        finally:
            channel.queue_unbind(topology.parked_name(QUEUE), topology.home_name("labels"), QUEUE)


def test_only_the_selected_events_are_discarded(parked):
    at_work, park = parked
    for ident, about in (("a", KEYS), ("b", TYPE), ("c", KEYS)):
        park(ident, about)

    archived = []

    def archive(event, body):
        archived.append((event.event_id, body))

    assert at_work.discard(Selection(QUEUE, ["a", "x"]), archive) == (1, 0)
    assert at_work.discard(Selection(QUEUE, exception="TypeError"), archive) == (1, 0)

    assert ids(at_work.show(Selection(QUEUE))) == ["c"]


def test_an_event_that_cannot_be_sent_back_stays_parked(parked, amqp_url, caplog):
    at_work, park = parked
    park("a")
    with Connection(amqp_url) as connection:
        connection.channel().queue_unbind(QUEUE, topology.home_name("labels"), QUEUE)

    assert at_work.replay(Selection(QUEUE)) == (0, 0)

    assert at_work.count() == {QUEUE: 1}
    assert "a of labels.LoafBaked cannot be replayed" in caplog.text


@pytest.mark.parametrize("odd", [-1, "many", True, 2**63 - 1, None, datetime(2026, 1, 1, tzinfo=UTC)], ids=str)
def test_headers_that_somebody_else_wrote_are_shown_as_far_as_they_make_sense(parked, odd):
    at_work, park = parked
    park("a", ("x" * 5000, odd), body=b"\xff" * 50_000, **{"x-attempt": odd, "x-replays": odd})

    (shown,) = at_work.show(Selection(QUEUE))

    assert 0 <= shown.attempts <= 10**9 and 0 <= shown.replays <= 10**9
    assert (len(shown.reason), len(shown.body)) == (1000, 10_000)
    assert at_work.replay(Selection(QUEUE)) == (1, 0)


def test_events_that_fail_for_ever_are_shown_and_go_on_being_retried(amqp_url, monkeypatch):
    monkeypatch.setattr("libs.events.parking.MOST_STUCK", 1)  # else a reply of thousands might be refused
    with Connection(amqp_url) as connection:
        topology.declare_waits(connection.channel(), "labels", (60.0,))
    at_work = Parking(amqp_url, waits=["labels.wait.60000"])
    with closing(Publisher(amqp_url, declare=CATALOGUE.declare)) as publisher:
        for attempt in (5, 21, 22):
            headers = {"x-attempt": attempt, "x-reason": "Unavailable: closed"}
            publisher.publish([Outgoing("labels.wait.60000", QUEUE, b"{}", headers, message_id=f"event-{attempt}")])

    shown = [at_work.stuck() for _ in range(2)]

    assert [[(one.queue, one.event_id, one.attempts, one.reason) for one in stuck] for stuck in shown] == [
        [(QUEUE, "event-21", 20, "Unavailable: closed")]
    ] * 2
    assert queue_length(amqp_url, "labels.wait.60000") == 3
