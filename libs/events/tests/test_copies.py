import random
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from libs.events import Copies


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
