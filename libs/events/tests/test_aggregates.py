import pytest
from marshmallow import ValidationError
from pymongo.errors import DuplicateKeyError

from libs.events import Aggregates, VersionConflict
from libs.events.catalogue import ExpirationComplete


def a_deadline(version=1, **fields):
    return {"id": "o1", "version": version, "order_id": "o1", "expires_at": "2026-11-22T12:00:00.000Z", **fields}


@pytest.fixture
def deadlines(mongo):
    aggregates = Aggregates(mongo.deadlines)
    aggregates.create_indexes()
    return aggregates


def outbox(deadlines):
    return [pending["id"] for pending in deadlines.collection.find_one({"_id": "o1"})["outbox"]]


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


def test_every_event_wakes_the_relay(deadlines):
    woken = []
    deadlines.saved = lambda: woken.append(True)

    deadlines.add(a_deadline(), ExpirationComplete, a_deadline())
    deadlines.save(a_deadline(2), ExpirationComplete, a_deadline(2))

    assert len(woken) == 2
