"""Readers of one thing at the same moment share reads, and none gets an answer that is older than its question."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from dev.testing import wait_for
from libs.shared_reads import SharedReads


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


def asked(reads, name, number):
    """Wait until so many ask for a thing, in threads."""
    wait_for(lambda: reads._interested[name] == number)


def test_those_who_ask_while_a_read_is_under_way_share_the_next_one(shelf, pool):
    reads = SharedReads(shelf.read)
    first = pool.submit(reads, "hamlet")
    wait_for(lambda: shelf.begun)

    others = [pool.submit(reads, "hamlet") for _ in range(9)]
    asked(reads, "hamlet", 10)
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
    asked(reads, "t1", 1)
    second = pool.submit(reads, "t1")
    asked(reads, "t1", 2)
    may_fail.set()

    assert isinstance(first.exception(5), OSError)
    assert second.result(5) == "hamlet"


def test_nothing_is_kept_once_it_was_read(shelf):
    reads = SharedReads(lambda name: name)

    assert [reads(name) for name in ("hamlet", "othello")] == ["hamlet", "othello"]

    assert not reads._turns and not reads._waiting and not reads._interested
