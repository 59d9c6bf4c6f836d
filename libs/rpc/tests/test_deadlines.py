"""Which calls begin, whatever the clocks of caller and service, the network and pauses do: time is simulated."""

import random
import time
from types import SimpleNamespace

import pytest

from libs.rpc import deadlines
from libs.rpc.deadlines import COMPARED_SECONDS, MARGIN_SECONDS, Callers

HOURS = 3600.0
ROUNDING = MARGIN_SECONDS / 5
"""Of times to milliseconds, and of the drift while a question is asked."""


class Simulation:
    """One service and one caller, whose clock is ahead by `offset` seconds and runs faster by `drift`.

    `ways`: the seconds that the question and the answer take.
    """

    def __init__(self, monkeypatch, offset=0.0, drift=0.0):
        self.now, self.offset, self.drift = 5.0, offset, drift
        self.ways, self.questions, self.answers = (0.001, 0.001), 0, True
        monkeypatch.setattr(deadlines, "clock_ms", lambda: int(self.now * 1000))
        monkeypatch.setattr(deadlines, "ASK_SECONDS", 0.0001)  # of real time: an answer comes at once, or not at all
        self.callers = Callers("orders", self)
        self.callers.queue = SimpleNamespace(routing_key="service")

    def caller_clock(self):
        return self.now * (1 + self.drift) + self.offset

    def send(self, key, correlation_id, body, **properties):
        """Let a question and its answer travel."""
        self.questions += 1
        there, back = self.ways
        self.now += there
        shown = int(self.caller_clock() * 1000)
        self.now += back
        if self.answers:
            self.callers.handle_message(
                SimpleNamespace(properties={"correlation_id": correlation_id}, body=str(shown).encode())
            )

    def sent(self, timeout):
        """Return the deadline of a call that is sent now."""
        return int((self.caller_clock() + timeout) * 1000)

    def begins(self, deadline_ms):
        """Receive a call now; return whether it begins, which is never too late."""
        left = self.callers.left_seconds("caller", deadline_ms, time.monotonic() + HOURS)
        assert left <= max(0.0, deadline_ms / 1000 - self.caller_clock() + ROUNDING)
        return left > 0


@pytest.fixture(params=[0, 120, -120])
def simulation(monkeypatch, request):
    return Simulation(monkeypatch, request.param)


def test_only_the_first_of_many_calls_costs_a_question(simulation):
    for _ in range(500):
        deadline = simulation.sent(5)
        simulation.now += 0.1

        assert simulation.begins(deadline)

    assert simulation.questions == 1


def test_an_idle_caller_is_asked_again_and_its_call_begins(simulation):
    assert simulation.begins(simulation.sent(5))
    simulation.now += COMPARED_SECONDS + 1

    assert simulation.begins(simulation.sent(5))

    assert simulation.questions == 2


@pytest.mark.parametrize("idle", [0, 30, 70, HOURS])
def test_a_call_that_waited_beyond_its_deadline_does_not_begin_however_long_its_caller_was_idle(simulation, idle):
    simulation.begins(simulation.sent(5))
    simulation.now += idle
    deadline = simulation.sent(5)
    simulation.now += 8

    assert not simulation.begins(deadline)


def test_a_first_call_that_waited_beyond_its_deadline_does_not_begin(simulation):
    deadline = simulation.sent(5)
    simulation.now += 8

    assert not simulation.begins(deadline)


def test_a_call_of_a_caller_that_does_not_answer_does_not_begin(simulation):
    simulation.answers = False

    assert not simulation.begins(simulation.sent(5))


def test_an_answer_that_took_long_delays_later_calls_by_a_question_and_refuses_none(simulation):
    simulation.ways = (1.5, 0.5)
    assert simulation.begins(simulation.sent(5))
    simulation.ways = (0.001, 0.001)

    assert simulation.begins(simulation.sent(1))

    assert simulation.questions == 2
    assert simulation.begins(simulation.sent(1))
    assert simulation.questions == 2


def test_nobody_is_asked_about_a_call_that_is_surely_late(simulation):
    left = simulation.callers.left_seconds("caller", simulation.sent(5), time.monotonic() - 0.001)

    assert left <= 0
    assert simulation.questions == 0


@pytest.mark.parametrize("body", [b"", b"soon", b"\xff"])
def test_an_answer_that_is_no_number_is_none(simulation, body):
    callers = simulation.callers
    simulation.send = lambda key, ident, _body, **_: callers.handle_message(
        SimpleNamespace(properties={"correlation_id": ident}, body=body)
    )

    assert not simulation.begins(simulation.sent(5))


@pytest.mark.parametrize("seed", range(20))
def test_no_call_ever_begins_after_its_deadline(monkeypatch, seed):
    chance = random.Random(seed)
    simulation = Simulation(monkeypatch, chance.uniform(-1e5, 1e5), chance.uniform(-0.001, 0.001))
    for _ in range(200):
        simulation.now += chance.choice([0, 0.01, 1, 20, 59, 61, 600])
        simulation.ways = [chance.choice([0.0001, 0.01, 0.5, 4]) for _ in range(2)]
        deadline = simulation.sent(chance.choice([0.1, 1, 5]))
        simulation.now += chance.choice([0.0001, 0.05, 0.5, 0.99, 1.01, 4.9, 5.1, 30])
        simulation.begins(deadline)  # which asserts it
