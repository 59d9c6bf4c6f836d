import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import ClassVar
from unittest.mock import MagicMock

import eventlet
import pytest
from bson import Timestamp
from nameko.testing.utils import get_extension
from prometheus_client import REGISTRY

from libs.alarms import ALARM_EVERY
from libs.amqp.container import Container
from libs.clock import utc_now
from libs.events import CHANGES_INDEX, Aggregates, Copies, Unavailable, aggregates
from libs.events.anti_entropy import AntiEntropy, AntiEntropyProvider, Source, rpc_source, stale_in
from libs.events.tests.bakery.catalogue import LoafBaked


def a_loaf(ident, version=1):
    return {"id": ident, "version": version, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}


@pytest.fixture
def mongo(emptied):
    return emptied


@pytest.fixture
def originals(mongo, monkeypatch):
    """The source, in which no write takes long, and no event of it."""
    monkeypatch.setattr(aggregates, "LAG_SECONDS", 0)
    monkeypatch.setattr("libs.events.anti_entropy.IN_FLIGHT_SECONDS", 0)
    mongo.originals.create_indexes([CHANGES_INDEX])
    return Aggregates(mongo.originals)


@pytest.fixture
def copies(mongo):
    return Copies(mongo.copies)


@pytest.fixture
def source(mongo, originals, copies):
    """Pages of two."""
    return Source(
        mongo,
        lambda after: originals.versions(after, 2),
        lambda after: originals.changes(after, 2),
        stale_in(copies.collection),
        lambda idents: originals.find_all({"_id": {"$in": idents}}),
        copies.apply,
    )


@pytest.fixture
def compare(mongo, source, monkeypatch):
    """Return what compares when it is due, as an instance of the service does; it returns how many were repaired."""
    monkeypatch.setattr("libs.events.anti_entropy.PAGE_SECONDS", 0)

    def compare(source=source, seconds=5.0):
        mongo.comparisons.update_many({}, {"$unset": {"due_at": 1}})
        return AntiEntropy("test").run(source, seconds)

    return compare


def counting(source):
    """Return the source, and the list of the ids that are compared with it."""
    compared = []

    def stale(page):
        compared.extend(ident for ident, *_ in page)
        return source.stale(page)

    return replace(source, stale=stale), compared


def add(originals, *idents):
    for ident in idents:
        originals.add(a_loaf(ident), LoafBaked, a_loaf(ident))


def save(originals, ident, version):
    originals.save(a_loaf(ident, version), LoafBaked, a_loaf(ident, version))


def test_missing_and_older_copies_are_repaired_and_no_others(originals, copies, compare):
    add(originals, "b1", "b2", "b3", "b4", "b5")
    save(originals, "b4", 2)
    for ident in ("b1", "b4", "b5"):
        copies.apply(a_loaf(ident))

    assert compare() == 3

    assert copies.find("b4") == a_loaf("b4", 2)
    assert compare() == 0


def test_a_run_costs_what_has_changed_and_one_page_whatever_the_number_of_finished_ones(originals, source, compare):
    add(originals, *(f"b{number:03}" for number in range(100)))
    compare()
    save(originals, "b042", 2)

    observed, compared = counting(source)

    assert compare(observed) == 1
    assert len(compared) == 1 + 2 and compared[0] == "b042"


def test_what_changed_is_found_by_an_index_alone(mongo, originals):
    add(originals, *(f"b{number:02}" for number in range(50)))
    position = originals.changes(None, 500)["next"]
    mongo.originals.update_many({}, {"$set": {"changed_at": Timestamp(1, 1)}})
    save(originals, "b07", 2)

    mongo.command("profile", 2)
    page = originals.changes(position, 500)["page"]
    mongo.command("profile", 0)

    profiled = mongo["system.profile"].find_one({"command.find": "originals"})
    assert (page, profiled["docsExamined"]) == ([["b07", 2]], 1)


def test_a_copy_that_is_damaged_without_a_change_is_found_in_time(originals, copies, compare):
    add(originals, "b1", "b2", "b3", "b4", "b5")
    compare()
    copies.collection.delete_one({"_id": "b5"})

    assert [compare() for _ in range(4)].count(1) == 1
    assert copies.find("b5") == a_loaf("b5")


def test_a_copy_whose_event_is_in_flight_is_not_repaired(originals, copies, source, compare, monkeypatch):
    monkeypatch.setattr(aggregates, "LAG_SECONDS", 60)
    add(originals, "a")

    def stale(page):
        found = source.stale(page)
        copies.apply(a_loaf("a"))  # the event arrives
        return found

    assert compare(replace(source, stale=stale)) == 0


def test_documents_of_an_earlier_version_are_compared_in_time(originals, copies, compare):
    add(originals, "b1", "b2", "b3")
    originals.collection.update_many({}, {"$unset": {"changed_at": 1}})

    assert sum(compare() for _ in range(3)) == 3


def test_a_change_is_compared_only_when_no_write_of_the_same_moment_can_be_in_progress(originals, monkeypatch):
    monkeypatch.setattr(aggregates, "LAG_SECONDS", 10)
    add(originals, "b1")

    changes = originals.changes(None, 500)

    assert (changes["page"], changes["is_last"]) == ([], True)
    monkeypatch.setattr(aggregates, "LAG_SECONDS", 0)
    assert originals.changes(changes["next"], 500)["page"] == [["b1", 1]]


def test_changes_of_the_same_moment_are_on_one_page(originals):
    add(originals, "b1", "b2", "b3", "b4")
    originals.collection.update_many({"_id": {"$ne": "b1"}}, {"$set": {"changed_at": Timestamp(5, 1)}})

    first = originals.changes(None, 2)

    assert sorted(first["page"]) == [["b2", 1], ["b3", 1], ["b4", 1]]
    assert originals.changes(first["next"], 2)["page"] == [["b1", 1]]


def test_a_run_out_of_time_is_continued_by_the_next(originals, copies, source, compare):
    add(originals, "b1", "b2", "b3", "b4", "b5")
    nothing_else = replace(source, page=lambda after: [])

    assert [compare(nothing_else, seconds=-1) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
    assert copies.collection.count_documents({}) == 5


def test_a_copy_that_cannot_be_repaired_holds_up_no_other_and_is_retried(originals, copies, source, compare):
    broken = ["b1"]

    def apply(snapshot):
        if snapshot["id"] in broken:
            raise RuntimeError("this one makes no sense")
        copies.apply(snapshot)

    observed = replace(source, apply=apply, page=lambda after: [])
    add(originals, "b1", "b2")

    assert [compare(observed), compare(observed)] == [1, 0]
    assert copies.find("b2") == a_loaf("b2")

    broken.clear()
    assert [compare(observed), compare(observed)] == [1, 0]


def test_copies_that_cannot_be_repaired_do_not_count_as_repaired(mongo, originals, source):
    def apply(snapshot):
        raise RuntimeError("this one makes no sense")

    add(originals, "b1")
    AntiEntropy("never repaired").run(replace(source, apply=apply))

    assert sample("copies_stale", "never repaired") == 1
    assert sample("copies_repaired_total", "never repaired") is None


def test_a_source_that_has_never_answered_does_not_count_as_compared_in_1970(mongo, source):
    def changes(after):
        raise Unavailable("the source is unreachable")

    with pytest.raises(Unavailable):
        AntiEntropy("never compared").run(replace(source, changes=changes))

    assert sample("copies_compared_timestamp_seconds", "never compared") is None


def sample(name, copies):
    return REGISTRY.get_sample_value(name, {"copies": copies})


def test_an_unreachable_source_loses_nothing_of_what_was_found(originals, source, compare):
    def fetch(idents):
        raise Unavailable("the source is unreachable")

    add(originals, "b1")
    with pytest.raises(Unavailable):
        compare(replace(source, fetch=fetch))

    assert compare(replace(source, page=lambda after: [])) == 1


def test_one_instance_of_a_service_compares_at_a_time_and_no_more_often_than_one_alone_would(originals, source):
    add(originals, "b1")
    running, both = [], threading.Barrier(4)

    def observed(after):
        running.append(after)
        return source.changes(after)

    def instance(_):
        both.wait(10)
        return AntiEntropy("test").run(replace(source, changes=observed))

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(instance, range(4))) == [0, 0, 0, 1]
    assert len(running) == 1


def test_copies_are_compared_when_the_clock_of_mongodb_was_set_back(mongo, originals, source):
    add(originals, "b1")
    mongo.comparisons.insert_one({"_id": "test", "due_at": utc_now() + timedelta(hours=1), "holder": "one that died"})

    assert AntiEntropy("test").run(source) == 1


def test_another_instance_goes_on_for_one_that_died_and_the_dead_one_saves_nothing(originals, source, monkeypatch):
    for name in ("LEASE", "DUE"):
        monkeypatch.setattr(f"libs.events.anti_entropy.{name}", timedelta(0))
    add(originals, "b1", "b2")
    paused, other = AntiEntropy("test"), []

    def apply(snapshot):
        if not other:
            other.append(AntiEntropy("test").run(source))
            save(originals, "b1", 2)
        raise RuntimeError("too late")

    paused.run(replace(source, apply=apply))

    assert other == [2]
    assert AntiEntropy("test").run(replace(source, page=lambda after: [])) == 1


def test_a_copy_that_can_never_be_repaired_raises_an_alarm(mongo, originals, source, caplog):
    def apply(snapshot):
        if snapshot["id"] == "b1":
            raise RuntimeError("this one makes no sense")

    anti_entropy = AntiEntropy("test")
    add(originals, "b1", "b2")

    for _ in range(ALARM_EVERY):
        mongo.comparisons.update_many({}, {"$unset": {"due_at": 1}})
        anti_entropy.run(replace(source, apply=apply, page=lambda after: []))

    alarm = "ALARM comparison_stuck: 20 times in a row: test: b1 could not be repaired: this one makes no sense"
    assert caplog.text.count("ALARM") == caplog.text.count(alarm) == 1


def test_a_source_that_never_answers_raises_an_alarm(monkeypatch, capsys):
    def unreachable(shelves):
        shelves.pages.append(1)
        raise Unavailable("the source is unreachable")

    monkeypatch.setattr("libs.events.anti_entropy.INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(Shelves, "pages", [])
    monkeypatch.setattr(Shelves, "source", unreachable)
    container = Container(Shelves, {})

    container.start()
    for _ in range(500):
        if len(Shelves.pages) > ALARM_EVERY:
            break
        eventlet.sleep(0.01)
    container.stop()

    logged = capsys.readouterr().err  # a container sets up the log again, so caplog sees nothing more
    assert "ALARM timer_stuck: 20 times in a row: shelves.anti_entropy failed: Unavailable" in logged


def test_a_snapshot_that_does_not_fit_the_catalogue_does_not_hold_up_the_others(mongo, originals, copies, compare):
    def call(part, method, arguments):
        if method in ("versions", "changes"):
            return getattr(originals, method)(arguments["after"], 2)
        found = originals.find_all({"_id": {"$in": arguments["ids"]}})
        return [snapshot | ({"baked_at": None} if snapshot["id"] == "b1" else {}) for snapshot in found]

    add(originals, "b1", "b2", "b3")

    compare(rpc_source(call, LoafBaked, mongo, stale_in(copies.collection), copies.apply))

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
        database = MagicMock()
        database.comparisons.find_one_and_update.return_value = None  # not due
        return Source(database, lambda after: [], dict, lambda page: [], lambda idents: [], lambda snapshot: None)


@pytest.mark.lengthy
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
