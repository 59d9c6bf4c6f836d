from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import eventlet
import pytest
from nameko.testing.utils import get_extension

from libs.amqp.container import Container
from libs.events import Aggregates, Copies, Unavailable
from libs.events.anti_entropy import AntiEntropy, AntiEntropyProvider, Source, rpc_source, stale_in
from libs.events.tests.bakery.catalogue import LoafBaked


def a_loaf(ident, version=1):
    return {"id": ident, "version": version, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}


@pytest.fixture
def originals(mongo):
    return Aggregates(mongo.originals)


@pytest.fixture
def copies(mongo):
    return Copies(mongo.copies)


@pytest.fixture
def source(originals, copies):
    """Pages of two."""
    return Source(
        lambda after: originals.versions(after, 2),
        stale_in(copies.collection),
        lambda idents: originals.find_all({"_id": {"$in": idents}}),
        copies.apply,
    )


def add(originals, *idents):
    for ident in idents:
        originals.add(a_loaf(ident), LoafBaked, a_loaf(ident))


def test_missing_and_older_copies_are_repaired_and_no_others(originals, copies, source):
    add(originals, "b1", "b2", "b3", "b4", "b5")
    originals.save(a_loaf("b4", 2), LoafBaked, a_loaf("b4", 2))
    for ident in ("b1", "b4", "b5"):
        copies.apply(a_loaf(ident))

    assert AntiEntropy("test").run(source) == 3

    assert copies.find("b4") == a_loaf("b4", 2)
    assert AntiEntropy("test").run(source) == 0


def test_a_run_out_of_time_is_continued_by_the_next_and_begins_anew_at_the_end(originals, source):
    anti_entropy = AntiEntropy("test")
    add(originals, "b1", "b2", "b3")

    assert [anti_entropy.run(source, seconds=-1) for _ in range(3)] == [2, 1, 0]

    add(originals, "b0")
    assert anti_entropy.run(source) == 1


def test_one_that_cannot_be_repaired_does_not_hold_up_the_others(originals, copies, source):
    def follow(snapshot):
        if snapshot["id"] == "b1":
            raise RuntimeError("this one makes no sense")
        copies.apply(snapshot)

    add(originals, "b1", "b2")

    assert AntiEntropy("test").run(replace(source, follow=follow)) == 2

    assert copies.find("b2") == a_loaf("b2")


def test_a_snapshot_against_the_catalogue_does_not_hold_up_the_others(originals, copies):
    def call(part, method, arguments):
        if method == "versions":
            return originals.versions(arguments["after"], 2)
        found = originals.find_all({"_id": {"$in": arguments["ids"]}})
        return [snapshot | ({"baked_at": None} if snapshot["id"] == "b1" else {}) for snapshot in found]

    add(originals, "b1", "b2", "b3")

    AntiEntropy("test").run(rpc_source(call, LoafBaked, stale_in(copies.collection), copies.apply))

    assert [copies.find(ident) is not None for ident in ("b1", "b2", "b3")] == [False, True, True]


def test_all_copies_are_rebuilt_by_calls_that_return_where_to_continue(originals, copies, source, monkeypatch):
    monkeypatch.setattr("libs.events.anti_entropy.BATCH", 1)
    anti_entropy = AntiEntropy("test")
    add(originals, "b1", "b2", "b3", "b4")

    answers, after = [], None
    while not answers or after:
        answers.append(anti_entropy.repair(source, after, seconds=-1))
        after = answers[-1]["next"]

    assert [answer["repaired"] for answer in answers] == [1, 1, 1, 1, 0]
    assert copies.collection.count_documents({}) == 4
    assert anti_entropy.repair(source, None) == {"repaired": 0, "next": None}


class Shelves:
    """A service whose source is unreachable at its second run."""

    name = "shelves"
    anti_entropy = AntiEntropyProvider("test", lambda shelves: shelves.source())
    pages: ClassVar[list[int]] = []

    def source(self):
        self.pages.append(len(self.pages))
        if len(self.pages) == 2:
            raise Unavailable("the source is unreachable")
        return Source(lambda after: [], lambda page: [], lambda idents: [], lambda snapshot: None)


def test_a_service_compares_at_its_start_and_then_periodically_even_if_its_source_was_unreachable(monkeypatch):
    monkeypatch.setattr("libs.events.anti_entropy.INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(Shelves, "pages", [])
    container = Container(Shelves, {})

    container.start()
    eventlet.sleep(0.3)
    container.stop()

    runs = len(Shelves.pages)
    assert runs >= 3
    eventlet.sleep(0.2)
    assert len(Shelves.pages) == runs  # none after the stop


def test_a_worker_repairs_with_its_own_service(monkeypatch):
    monkeypatch.setattr(Shelves, "pages", [])
    provider = get_extension(Container(Shelves, {}), AntiEntropyProvider)

    worker = provider.get_dependency(SimpleNamespace(service=Shelves()))

    assert worker.repair(None) == {"repaired": 0, "next": None}
