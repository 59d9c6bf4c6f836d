import threading
import time
from pathlib import Path

import pytest

from dev.testing import wait_for
from libs.database import connect
from libs.idle_threads import Executor


class Counted:
    """An executor that counts how often its target was called, and would look every 2 ms whether it is to be."""

    def __init__(self, interval=60, min_interval=0.002):
        self.times = 0
        self.executor = Executor(interval, min_interval, self._target, "counted")
        self.executor.open()
        self.await_call(1)

    def _target(self):
        self.times += 1
        return True

    def await_call(self, number):
        wait_for(lambda: self.times == number, 5)

    @property
    def thread(self):
        return next(each for each in threading.enumerate() if each.name == "counted")

    def wakes(self):
        """Return how often the thread was given a processor."""
        return int(Path(f"/proc/self/task/{self.thread.native_id}/schedstat").read_text().split()[2])


@pytest.fixture
def counted():
    counted = Counted()
    yield counted
    counted.executor.close()


def test_thread_sleeps_until_there_is_something_to_do(counted):
    before = counted.wakes()

    threading.Event().wait(0.3)

    assert counted.wakes() - before < 30  # a hundred and more if it looked


def test_thread_works_as_soon_as_it_is_woken(counted):
    for times in range(2, 5):
        counted.executor.wake()
        counted.await_call(times)


def test_thread_that_is_woken_at_once_again_pauses_first(counted):
    counted.executor._min_interval = 0.2
    began = time.monotonic()

    for times in (2, 3):
        counted.executor.wake()
        counted.await_call(times)

    assert time.monotonic() - began > 0.2


def test_thread_ends_with_its_client(counted):
    counted.executor.close()

    counted.executor.join(5)
    assert "counted" not in [each.name for each in threading.enumerate()]


def test_clients_have_such_threads():
    with connect("mongodb://127.0.0.1:1/none").client as client:
        assert isinstance(client._kill_cursors_executor, Executor)
        assert client._kill_cursors_executor._interval == 5
