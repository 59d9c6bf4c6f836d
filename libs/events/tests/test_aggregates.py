from datetime import timedelta
from unittest.mock import Mock

import pytest
from marshmallow import ValidationError
from pymongo.errors import DuplicateKeyError

from libs.clock import utc_now
from libs.events import VersionConflict, retry_on_conflict
from libs.events.aggregates import TRIES
from libs.events.tests.bakery.catalogue import LoafBaked
from libs.metrics import events_saved


@pytest.fixture
def mongo(emptied):
    return emptied


def a_loaf(version=1, **fields):
    return {"id": "b1", "version": version, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z", **fields}


def outbox(loaves, ident="b1"):
    return [pending["id"] for pending in loaves.collection.find_one({"_id": ident})["outbox"]]


def test_a_new_aggregate_and_its_event_are_one_write(loaves):
    loaves.add(a_loaf(), LoafBaked, a_loaf())

    assert outbox(loaves) == ["LoafBaked:b1:1"]
    assert loaves.find("b1") == a_loaf()


def test_each_saved_change_adds_its_event_after_the_earlier_ones(loaves):
    loaves.add(a_loaf(), LoafBaked, a_loaf())

    loaves.save(a_loaf(2), LoafBaked, a_loaf(2))

    assert outbox(loaves) == ["LoafBaked:b1:1", "LoafBaked:b1:2"]


def test_a_change_made_on_an_old_version_is_refused_and_leaves_no_event(loaves):
    loaves.add(a_loaf(), LoafBaked, a_loaf())
    loaves.save(a_loaf(2), LoafBaked, a_loaf(2))

    with pytest.raises(VersionConflict):
        loaves.save(a_loaf(2, grain="spelt"), LoafBaked, a_loaf(2))

    assert len(outbox(loaves)) == 2
    assert loaves.find("b1") == a_loaf(2)


def test_of_many_changes_those_made_on_an_old_version_alone_are_left_out(loaves):
    for ident in ("b1", "b2"):
        loaves.add(a_loaf(id=ident), LoafBaked, a_loaf(id=ident))
    loaves.save(a_loaf(2), LoafBaked, a_loaf(2))
    changed = [a_loaf(2, id=ident, grain="spelt") for ident in ("b1", "b2", "unknown")]

    saved = loaves.save_all([(fields, fields) for fields in changed], LoafBaked)

    assert saved == 1
    assert [loaves.find(ident)["grain"] for ident in ("b1", "b2")] == ["rye", "spelt"]
    assert outbox(loaves, "b2") == ["LoafBaked:b2:1", "LoafBaked:b2:2"]


def test_saving_many_of_nothing_changes_nothing(loaves):
    assert loaves.save_all([], LoafBaked) == 0


def test_a_change_whose_guard_does_not_hold_is_refused(loaves):
    loaves.add(a_loaf(), LoafBaked, a_loaf())

    with pytest.raises(VersionConflict):
        loaves.save(a_loaf(2), LoafBaked, a_loaf(2), guard={"grain": "spelt"})


def test_a_second_aggregate_of_the_same_id_is_refused(loaves):
    loaves.add(a_loaf(), LoafBaked, a_loaf())

    with pytest.raises(DuplicateKeyError):
        loaves.add(a_loaf(), LoafBaked, a_loaf())


def test_a_body_that_does_not_fit_the_catalogue_is_not_saved(loaves):
    with pytest.raises(ValidationError):
        loaves.add(a_loaf(), LoafBaked, {"id": "b1", "version": 1})

    assert loaves.find("b1") is None


def test_versions_come_in_pages_in_the_order_of_the_ids(loaves):
    for ident in ("b3", "b1", "b2"):
        loaves.add(a_loaf(id=ident), LoafBaked, a_loaf(id=ident))

    assert loaves.versions(None, 2, "grain") == [["b1", 1, "rye"], ["b2", 1, "rye"]]
    assert loaves.versions("b2", 2) == [["b3", 1]]


def test_a_field_that_is_unset_is_gone(loaves):
    loaves.add(a_loaf(active=True), LoafBaked, a_loaf())

    loaves.save(a_loaf(2), LoafBaked, a_loaf(2), unset=("active",))

    assert loaves.find("b1") == a_loaf(2)


def test_changing_a_document_that_was_read_changes_nothing_stored(loaves):
    loaves.add(a_loaf(), LoafBaked, a_loaf())

    loaves.find("b1")["grain"] = "spelt"

    assert loaves.find_one({"grain": "rye"}) == a_loaf()
    assert loaves.find_all({"grain": "spelt"}) == []


def test_every_event_wakes_the_relay(loaves):
    woken = []
    loaves.saved = lambda *event: woken.append(event)

    loaves.add(a_loaf(), LoafBaked, a_loaf())
    loaves.save(a_loaf(2), LoafBaked, a_loaf(2))

    assert len(woken) == 2


def test_operators_see_how_many_outboxes_are_full_and_for_how_long(loaves):
    assert (loaves.count_waiting(), loaves.waiting_seconds()) == (0, 0.0)

    loaves.add(a_loaf(), LoafBaked, a_loaf())
    loaves.collection.update_one({}, {"$set": {"outbox_at": utc_now() - timedelta(minutes=1)}})

    assert loaves.count_waiting() == 1
    assert 60 <= loaves.waiting_seconds() < 90


def test_a_saved_change_is_counted_by_its_event_and_a_refused_one_is_not(loaves):
    before = events_saved.labels(LoafBaked.name)._value.get()
    loaves.add(a_loaf(), LoafBaked, a_loaf())
    loaves.save(a_loaf(2), LoafBaked, a_loaf(2))

    with pytest.raises(VersionConflict):
        loaves.save(a_loaf(2), LoafBaked, a_loaf(2))

    assert events_saved.labels(LoafBaked.name)._value.get() == before + 2


def test_who_loses_a_race_reads_and_decides_again_and_gives_up_only_after_some_tries():
    lost = iter(range(TRIES - 1))

    def bake():
        for number in lost:
            raise VersionConflict(f"baker {number} was quicker")
        return "baked"

    assert retry_on_conflict(bake) == "baked"
    with pytest.raises(VersionConflict, match="always"):
        retry_on_conflict(Mock(side_effect=VersionConflict("somebody is always quicker")))
