import pytest
from marshmallow import ValidationError
from pymongo.errors import DuplicateKeyError

from libs.contracts.events import ExpirationComplete
from libs.events import Aggregates, VersionConflict
from libs.events.testing import AggregatesInMemory


def a_deadline(version=1, **fields):
    return {"id": "o1", "version": version, "order_id": "o1", "expires_at": "2026-11-22T12:00:00.000Z", **fields}


@pytest.fixture
def real(mongo):
    aggregates = Aggregates(mongo.deadlines)
    aggregates.create_indexes()
    return aggregates


@pytest.fixture(params=["double", pytest.param("real", marks=pytest.mark.integration)])
def deadlines(request):
    """The real thing and its double, held to the same promises."""
    return AggregatesInMemory() if request.param == "double" else request.getfixturevalue("real")


def outbox(deadlines, ident="o1"):
    if isinstance(deadlines, AggregatesInMemory):
        return [pending["id"] for pending in deadlines.outbox if pending["body"]["id"] == ident]
    return [pending["id"] for pending in deadlines.collection.find_one({"_id": ident})["outbox"]]


def test_a_new_aggregate_and_its_event_are_one_write(deadlines):
    deadlines.add(a_deadline(), ExpirationComplete, a_deadline())

    assert outbox(deadlines) == ["ExpirationComplete:o1:1"]
    assert deadlines.find("o1") == a_deadline()


def test_each_saved_change_adds_its_event_after_the_earlier_ones(deadlines):
    deadlines.add(a_deadline(), ExpirationComplete, a_deadline())

    deadlines.save(a_deadline(2), ExpirationComplete, a_deadline(2))

    assert outbox(deadlines) == ["ExpirationComplete:o1:1", "ExpirationComplete:o1:2"]


def test_a_change_made_on_an_old_version_is_refused_and_leaves_no_event(deadlines):
    deadlines.add(a_deadline(), ExpirationComplete, a_deadline())
    deadlines.save(a_deadline(2), ExpirationComplete, a_deadline(2))

    with pytest.raises(VersionConflict):
        deadlines.save(a_deadline(2, order_id="other"), ExpirationComplete, a_deadline(2))

    assert len(outbox(deadlines)) == 2
    assert deadlines.find("o1") == a_deadline(2)


def test_of_many_changes_those_made_on_an_old_version_alone_are_left_out(deadlines):
    for ident in ("o1", "o2"):
        deadlines.add(a_deadline(id=ident), ExpirationComplete, a_deadline(id=ident))
    deadlines.save(a_deadline(2), ExpirationComplete, a_deadline(2))
    changed = [a_deadline(2, id=ident, order_id="other") for ident in ("o1", "o2", "unknown")]

    saved = deadlines.save_all([(fields, fields) for fields in changed], ExpirationComplete)

    assert saved == 1
    assert [deadlines.find(ident)["order_id"] for ident in ("o1", "o2")] == ["o1", "other"]
    assert outbox(deadlines, "o2") == ["ExpirationComplete:o2:1", "ExpirationComplete:o2:2"]


def test_saving_many_of_nothing_changes_nothing(deadlines):
    assert deadlines.save_all([], ExpirationComplete) == 0


def test_a_change_whose_guard_does_not_hold_is_refused(deadlines):
    deadlines.add(a_deadline(), ExpirationComplete, a_deadline())

    with pytest.raises(VersionConflict):
        deadlines.save(a_deadline(2), ExpirationComplete, a_deadline(2), guard={"order_id": "other"})


def test_a_second_aggregate_of_the_same_id_is_refused(deadlines):
    deadlines.add(a_deadline(), ExpirationComplete, a_deadline())

    with pytest.raises(DuplicateKeyError):
        deadlines.add(a_deadline(), ExpirationComplete, a_deadline())


def test_a_body_against_the_catalogue_is_not_saved(deadlines):
    with pytest.raises(ValidationError):
        deadlines.add(a_deadline(), ExpirationComplete, {"id": "o1", "version": 1})

    assert deadlines.find("o1") is None


def test_versions_come_in_pages_in_the_order_of_the_ids(deadlines):
    for ident in ("o3", "o1", "o2"):
        deadlines.add(a_deadline(id=ident), ExpirationComplete, a_deadline(id=ident))

    assert deadlines.versions(None, 2, "order_id") == [["o1", 1, "o1"], ["o2", 1, "o1"]]
    assert deadlines.versions("o2", 2) == [["o3", 1]]


def test_a_field_that_is_unset_is_gone(deadlines):
    deadlines.add(a_deadline(active=True), ExpirationComplete, a_deadline())

    deadlines.save(a_deadline(2), ExpirationComplete, a_deadline(2), unset=("active",))

    assert deadlines.find("o1") == a_deadline(2)


def test_what_was_found_is_not_what_is_stored(deadlines):
    deadlines.add(a_deadline(), ExpirationComplete, a_deadline())

    deadlines.find("o1")["order_id"] = "other"

    assert deadlines.find_one({"order_id": "o1"}) == a_deadline()
    assert deadlines.find_all({"order_id": "other"}) == []


def test_every_event_wakes_the_relay(deadlines):
    woken = []
    deadlines.saved = lambda: woken.append(True)

    deadlines.add(a_deadline(), ExpirationComplete, a_deadline())
    deadlines.save(a_deadline(2), ExpirationComplete, a_deadline(2))

    assert len(woken) == 2
