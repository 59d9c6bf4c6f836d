import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from pymongo.errors import BulkWriteError

from libs.events import Copies


@pytest.fixture
def mongo(emptied):
    return emptied


@pytest.fixture
def copies(mongo):
    return Copies(mongo.loaves)


def a_loaf(version, ident="b1"):
    return {"id": ident, "version": version, "grain": f"rye of batch {version}"}


def test_a_newer_version_replaces_and_an_older_or_equal_one_does_not(copies):
    assert copies.apply(a_loaf(2)) is True
    assert copies.apply(a_loaf(1)) is False
    assert copies.apply(a_loaf(2)) is False
    assert copies.apply(a_loaf(3)) is True

    assert copies.find("b1") == a_loaf(3)


def test_a_version_that_is_stored_is_never_overwritten(copies):
    copies.apply(a_loaf(2))

    assert copies.apply(a_loaf(2) | {"grain": "wheat"}) is False
    copies.apply_all([a_loaf(2) | {"grain": "wheat"}])

    assert copies.find("b1") == a_loaf(2)


def test_any_order_and_number_of_snapshots_ends_in_the_newest(copies):
    snapshots = [a_loaf(version) for version in range(1, 6)] * 3
    random.Random(7).shuffle(snapshots)

    for snapshot in snapshots:
        copies.apply(snapshot)

    assert copies.find("b1") == a_loaf(5)


def test_two_first_snapshots_at_the_same_moment_end_in_the_newer(copies):
    gate = Barrier(2)

    def apply(snapshot):
        gate.wait(10)
        copies.apply(snapshot)

    with ThreadPoolExecutor(2) as pool:
        for number in range(100):
            list(pool.map(apply, [a_loaf(1, f"b{number}"), a_loaf(2, f"b{number}")]))

    assert {copies.find(f"b{number}")["version"] for number in range(100)} == {2}


def test_of_many_snapshots_the_newest_of_each_is_kept_and_none_older_than_ours(copies):
    copies.apply(a_loaf(4, "b1"))
    copies.apply(a_loaf(1, "b2"))

    copies.apply_all([a_loaf(version, ident) for ident in ("b1", "b2", "b3") for version in (1, 3, 2)])

    assert [copies.find(ident) for ident in ("b1", "b2", "b3")] == [a_loaf(4, "b1"), a_loaf(3, "b2"), a_loaf(3, "b3")]


def test_two_batches_of_first_snapshots_at_the_same_moment_end_in_the_newer(copies):
    gate = Barrier(2)

    def apply(version):
        gate.wait(10)
        copies.apply_all([a_loaf(version, f"b{number}") for number in range(100)])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(apply, (1, 2)))

    assert {copies.find(f"b{number}")["version"] for number in range(100)} == {2}


def test_a_batch_of_which_one_cannot_be_stored_fails_and_stores_the_others(copies):
    with pytest.raises(BulkWriteError):
        copies.apply_all([a_loaf(1, "b1"), {**a_loaf(1, "b2"), "_id": "b4"}, a_loaf(1, "b3")])

    assert [copies.find(ident) is not None for ident in ("b1", "b3")] == [True, True]
