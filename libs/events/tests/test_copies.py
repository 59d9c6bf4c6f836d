import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from libs.events import Copies
from libs.events.testing import CopiesInMemory


@pytest.fixture(params=["double", pytest.param("real", marks=pytest.mark.integration)])
def make(request):
    """How to make the real thing, and its double; both are held to the same promises."""
    if request.param == "double":
        return CopiesInMemory
    return partial(Copies, request.getfixturevalue("mongo").tickets)


@pytest.fixture
def copies(make):
    return make()


def a_ticket(version, ident="t1"):
    return {"id": ident, "version": version, "title": f"Hamlet, edition {version}"}


def test_a_newer_version_replaces_and_an_older_or_equal_one_does_not(copies):
    assert copies.apply(a_ticket(2)) is True
    assert copies.apply(a_ticket(1)) is False
    assert copies.apply(a_ticket(2)) is False
    assert copies.apply(a_ticket(3)) is True

    assert copies.find("t1") == a_ticket(3)


def test_any_order_and_number_of_snapshots_ends_in_the_newest(copies):
    snapshots = [a_ticket(version) for version in range(1, 6)] * 3
    random.Random(7).shuffle(snapshots)

    for snapshot in snapshots:
        copies.apply(snapshot)

    assert copies.find("t1") == a_ticket(5)


def test_two_first_snapshots_at_the_same_moment_end_in_the_newer(copies):
    gate = Barrier(2)

    def apply(snapshot):
        gate.wait(10)
        copies.apply(snapshot)

    with ThreadPoolExecutor(2) as pool:
        for number in range(100):
            list(pool.map(apply, [a_ticket(1, f"t{number}"), a_ticket(2, f"t{number}")]))

    assert {copies.find(f"t{number}")["version"] for number in range(100)} == {2}


def test_a_missing_copy_is_fetched_from_its_source_and_kept(make):
    asked = []
    copies = make(fetch=lambda ident: asked.append(ident) or a_ticket(4, ident))

    assert copies.find("t9") == a_ticket(4, "t9")
    assert copies.find("t9") == a_ticket(4, "t9")
    assert asked == ["t9"]


def test_what_an_event_brings_while_the_source_is_asked_is_not_hidden_by_the_answer(make):
    def fetch(ident):
        copies.apply(a_ticket(5, ident))
        return a_ticket(4, ident)

    copies = make(fetch=fetch)

    assert copies.find("t9") == a_ticket(5, "t9")


def test_what_its_source_does_not_know_either_is_none(make):
    assert make(fetch=lambda ident: None).find("t9") is None
