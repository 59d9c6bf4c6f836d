"""The contents of a watermark, and when there is none."""

import json
import threading
from types import SimpleNamespace

import pytest

from libs.events.tests.bakery.catalogue import LoafBaked
from libs.events.tests.fakes import FakePublisher
from libs.events.topology import WATERMARK
from libs.events.watermarks import MOST_WAITING, Watermarks


def add(loaves, ident, version=1):
    body = {"id": ident, "version": version, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}
    loaves.add(body, LoafBaked, body)


@pytest.fixture
def watermarks(loaves):
    watermarks = Watermarks()
    watermarks.setup()
    watermarks._relay = SimpleNamespace(publisher=FakePublisher(), aggregates=[loaves])
    watermarks._exchange = "oven.events"
    return watermarks


def broadcast(watermarks):
    """Return the bodies of what is broadcast."""
    watermarks._relay.publisher.published.clear()
    watermarks._broadcast()
    published = watermarks._relay.publisher.published
    assert {(each.exchange, each.routing_key, each.mandatory) for each in published} <= {
        ("oven.events", WATERMARK, False)
    }
    return [json.loads(each.body) for each in published]


def test_a_watermark_answers_all_who_asked_and_names_the_newest_versions_that_wait_in_outboxes(watermarks, loaves):
    add(loaves, "published")
    loaves.collection.update_one({"_id": "published"}, {"$set": {"outbox": []}, "$unset": {"outbox_at": 1}})
    add(loaves, "waiting")
    second = {"id": "waiting", "version": 2, "grain": "rye", "baked_at": "2026-11-22T13:00:00.000Z"}
    loaves.save(second, LoafBaked, second)
    for process, number in (("p1", 3), ("p2", 8), ("p1", 4)):
        watermarks.ask(process, number)

    assert broadcast(watermarks) == [{"asks": {"p1": 4, "p2": 8}, "waiting": [["waiting", 2]]}]
    assert broadcast(watermarks) == []


def test_there_is_no_watermark_while_too_many_changes_wait(watermarks, loaves):
    for number in range(MOST_WAITING + 1):
        add(loaves, f"l{number}")
    watermarks.ask("p1", 1)

    assert broadcast(watermarks) == []


def test_a_question_that_comes_after_the_read_is_answered_by_the_next_watermark(watermarks, loaves):
    """Else a change that was committed in between would be neither heard of nor named."""
    watermarks.ask("p1", 1)
    read = watermarks._waiting

    def ask_and_read():
        watermarks.ask("p1", 2)
        return read()

    watermarks._waiting = ask_and_read

    assert broadcast(watermarks)[0]["asks"] == {"p1": 1}
    assert broadcast(watermarks)[0]["asks"] == {"p1": 2}


def test_a_watermark_that_cannot_be_broadcast_is_followed_by_the_next(watermarks, monkeypatch):
    done = threading.Event()

    def fail():
        watermarks._is_stopping = done.is_set()
        done.set()
        watermarks.ask("p1", 2)
        raise OSError

    watermarks._broadcast = fail
    watermarks.ask("p1", 1)

    watermarks._run()

    assert done.is_set()
