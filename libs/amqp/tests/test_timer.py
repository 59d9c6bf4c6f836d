import time
from types import SimpleNamespace

import eventlet
import pytest
from eventlet.queue import Queue

from libs.amqp.timer import Timer


class Container:
    """Runs timers as nameko's container does; `ticks` has an item for each tick that is over."""

    spawn_managed_thread = staticmethod(eventlet.spawn)

    def __init__(self, tick=lambda: None):
        self.ticks, self._tick = Queue(), tick

    def spawn_worker(self, timer, args, kwargs, handle_result):
        self._tick()
        self.ticks.put(None)
        handle_result(SimpleNamespace(), None, None)


@pytest.fixture
def start():
    """Return a function that starts a timer."""
    started = []

    def start(timer, container):
        timer.container = container
        timer.start()
        started.append(timer)

    yield start
    for timer in started:
        timer.stop()


@pytest.fixture
def move(monkeypatch):
    """Return a function that sets a clock forward."""

    def move(name, seconds):
        real = getattr(time, name)
        monkeypatch.setattr(time, name, lambda: real() + seconds)

    return move


def test_timer_goes_on_when_the_clock_is_set_back(start, move):
    container = Container()
    start(Timer(0.01), container)
    container.ticks.get(timeout=5)

    move("time", -3600)

    assert [container.ticks.get(timeout=5) for _ in range(3)] == [None] * 3


def test_timer_does_not_make_up_for_ticks_missed_in_an_outage(start, move):
    outage = iter([10 * 3600])
    container = Container(lambda: [move(name, seconds) for seconds in outage for name in ("time", "monotonic")])

    start(Timer(3600, eager=True), container)

    for _ in range(2):  # the one that took so long, and the one that was due meanwhile
        container.ticks.get(timeout=5)
    for _ in range(10):
        eventlet.sleep(0)
    assert container.ticks.empty()
