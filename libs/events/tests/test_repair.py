import pytest

from libs.events import Aggregates, Copies
from libs.events.catalogue import ExpirationComplete
from libs.events.repair import Comparison, Source, stale_in


def a_deadline(ident, version=1):
    return {"id": ident, "version": version, "order_id": ident, "expires_at": "2026-11-22T12:00:00.000Z"}


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
        lambda ident: copies.apply(originals.find(ident)),
    )


def add(originals, *idents):
    for ident in idents:
        originals.add(a_deadline(ident), ExpirationComplete, a_deadline(ident))


def test_missing_and_older_copies_are_repaired_and_no_others(originals, copies, source):
    add(originals, "o1", "o2", "o3", "o4", "o5")
    originals.save(a_deadline("o4", 2), ExpirationComplete, a_deadline("o4", 2))
    for ident in ("o1", "o4", "o5"):
        copies.apply(a_deadline(ident))

    assert Comparison("test").run(source) == 3

    assert copies.find("o4") == a_deadline("o4", 2)
    assert Comparison("test").run(source) == 0


def test_a_run_out_of_time_is_continued_by_the_next_and_begins_anew_at_the_end(originals, source):
    comparison = Comparison("test")
    add(originals, "o1", "o2", "o3")

    assert [comparison.run(source, seconds=-1) for _ in range(3)] == [2, 1, 0]

    add(originals, "o0")
    assert comparison.run(source) == 1


def test_one_that_cannot_be_repaired_does_not_keep_the_others_waiting(originals, copies, source):
    def follow(ident):
        if ident == "o1":
            raise RuntimeError("this one makes no sense")
        source.follow(ident)

    add(originals, "o1", "o2")

    assert Comparison("test").run(Source(source.page, source.stale, follow)) == 2

    assert copies.find("o2") == a_deadline("o2")
