"""Readers of one thing at the same moment share reads, and none gets an answer that is older than its question."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from dev.testing import wait_for
from libs.errors import Unavailable
from libs.shared_reads import BatchedReads, SharedReads


class Shelf:
    """What is read: how often each thing was, by a read that ends when it may."""

    def __init__(self):
        self.may_end = threading.Semaphore(0)
        self.begun = []
        self.counts = {"hamlet": count(1), "othello": count(1)}

    def read(self, name):
        self.begun.append(name)
        self.may_end.acquire()
        return next(self.counts[name])


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(20) as pool:
        yield pool


def wait_for_callers(reads, name, number):
    """Wait until so many ask for a thing, in threads."""
    wait_for(lambda: reads._interested[name] == number)


def test_those_who_ask_while_a_read_is_under_way_share_the_next_one(shelf, pool):
    reads = SharedReads(shelf.read)
    first = pool.submit(reads, "hamlet")
    wait_for(lambda: shelf.begun)

    others = [pool.submit(reads, "hamlet") for _ in range(9)]
    wait_for_callers(reads, "hamlet", 10)
    shelf.may_end.release(2)

    assert first.result(5) == 1
    assert [other.result(5) for other in others] == [2] * 9
    assert shelf.begun == ["hamlet"] * 2


def test_reads_of_different_things_do_not_wait_for_each_other(shelf, pool):
    reads = SharedReads(shelf.read)
    both = [pool.submit(reads, name) for name in shelf.counts]

    wait_for(lambda: len(shelf.begun) == 2)

    shelf.may_end.release(2)
    assert [each.result(5) for each in both] == [1, 1]


def test_a_failed_read_fails_for_those_who_share_it_alone(pool):
    answers, may_fail = iter([OSError("away"), "hamlet"]), threading.Event()

    def read(name):
        may_fail.wait(5)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    reads = SharedReads(read)
    first = pool.submit(reads, "t1")
    wait_for_callers(reads, "t1", 1)
    second = pool.submit(reads, "t1")
    wait_for_callers(reads, "t1", 2)
    may_fail.set()

    assert isinstance(first.exception(5), OSError)
    assert second.result(5) == "hamlet"


def test_nothing_is_kept_once_it_was_read(shelf):
    reads = SharedReads(lambda name: name)

    assert [reads(name) for name in ("hamlet", "othello")] == ["hamlet", "othello"]

    assert not reads._turns and not reads._waiting and not reads._interested


class Shop:
    """What is read together: which keys were, by reads that end when they may."""

    def __init__(self):
        self.may_end = threading.Semaphore(0)
        self.batches = []

    def read(self, names):
        self.batches.append(sorted(names))
        self.may_end.acquire()
        return [name.upper() for name in names]


def wait_for_batch(reads, number):
    wait_for(lambda: len(reads._waiting.keys) == number)


def test_what_is_asked_for_while_a_read_is_under_way_is_read_together_after_it(pool):
    shop = Shop()
    reads = BatchedReads(shop.read, most=3)
    first = pool.submit(reads, "a")
    wait_for(lambda: shop.batches)
    others = []
    for name, number in (("b", 1), ("c", 2), ("d", 0), ("e", 1)):
        others.append(pool.submit(reads, name))
        wait_for_batch(reads, number)

    shop.may_end.release(3)

    assert [each.result(5) for each in (first, *others)] == ["A", "B", "C", "D", "E"]
    assert sorted(shop.batches) == [["a"], ["b", "c", "d"], ["e"]]


def test_a_failed_read_of_many_fails_for_those_alone():
    answers = iter([OSError("away"), ["A"]])

    def read(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    reads = BatchedReads(read, most=3)
    with pytest.raises(OSError, match="away"):
        reads("a")

    assert reads("a") == "A"


def test_who_joined_a_read_that_was_cut_off_learns_that_and_nobody_else_does(pool):
    reads, cut_off = BatchedReads(list, most=3), threading.Event()

    class CutOff:
        """A turn that never comes, as when the greenlet that waits for it is killed."""

        def acquire(self, timeout):
            cut_off.wait(timeout)
            raise SystemExit

    reads._turn = CutOff()
    leader = pool.submit(reads, "a")
    wait_for_batch(reads, 1)
    other = pool.submit(reads, "b")
    wait_for_batch(reads, 2)
    cut_off.set()

    assert isinstance(other.exception(5), Unavailable)
    assert isinstance(leader.exception(5), SystemExit)
    assert reads._waiting.keys == []


def test_nobody_waits_for_ever_for_reads_that_do_not_end(pool):
    shop = Shop()
    reads = BatchedReads(shop.read, most=1, turn_seconds=0.05)
    first = pool.submit(reads, "a")
    wait_for(lambda: reads._turn.locked())

    with pytest.raises(Unavailable, match="took too long"):
        reads("b")

    shop.may_end.release()
    assert first.result(5) == "A"


@pytest.mark.lengthy
def test_a_read_waits_a_little_for_others_to_join_it(pool):
    shop = Shop()
    reads = BatchedReads(shop.read, most=9, gather_seconds=0.2)
    shop.may_end.release()

    found = [pool.submit(reads, name) for name in ("a", "b", "c")]

    assert [each.result(5) for each in found] == ["A", "B", "C"]
    assert shop.batches == [["a", "b", "c"]]
