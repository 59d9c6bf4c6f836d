"""The search: every state that can be reached, the nearest first, so that a violation comes with a shortest trace."""

import random
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Generic, TypeVar

from tests.protocol.invariants import violation, violation_at_rest
from tests.protocol.model import Limits, Worker, World
from tests.protocol.moves import Move, Others, moves
from tests.protocol.rules import Rules
from tests.protocol.switches import KeepsAnything
from tests.protocol.workers import loser, steps

Value = TypeVar("Value")


@dataclass
class Found:
    """What a search has found: how many states it saw, and the first violation with the way to it."""

    states: int = 0
    violation: str = ""
    trace: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [f"{number:3} {step}" for number, step in enumerate(self.trace, 1)]
        return "\n".join([f"{self.violation or 'no violation'} ({self.states} states, {self.seconds:.1f} s)", *lines])


State = tuple[int, ...]
"""The number of the world without workers, and those of the workers in flight."""

Change = tuple[str, int, int, tuple[int, ...]]
"""What happens, to which order, the number of the world after it, and those of the workers that have begun by it."""


class Space:
    """The states that can be reached. Next steps are computed once for all states that have them in common."""

    def __init__(self, rules: Rules, limits: Limits) -> None:
        self.rules, self.limits = rules, limits
        self._has_time = limits.days or limits.late or limits.partial_refunds > 0
        self._worlds, self._workers = Numbers[World](), Numbers[Worker]()
        for name in ("violation", "_around", "_steps", "_others", "_tidied"):
            setattr(self, name, cache(getattr(self, name)))

    def state(self, world: World) -> State:
        """Return the state of a world."""
        return self._joined(self._worlds.of(world._replace(workers=())), map(self._workers.of, world.workers))

    def world(self, state: State) -> World:
        """Return the world of a state, without its workers."""
        return self._worlds.values[state[0]]

    def violation(self, number: int) -> str:
        """Return what is wrong in the states of a world, or ""."""
        return violation(self._worlds.values[number])

    def ahead(self, state: State) -> Iterator[tuple[str, int, State]]:
        """Yield everything that can happen next: what, to which order, and the state after it."""
        number, workers = state[0], state[1:]
        for label, claim, reached, begun in self._around(number, self._others(workers)):
            yield label, claim, self._joined(reached, workers + begun)
        for worker in set(workers):
            first = workers.index(worker)
            rest = workers[:first] + workers[first + 1 :]
            for label, claim, reached, begun in self._steps(number, worker):
                yield label, claim, self._joined(reached, rest + begun)

    def _others(self, numbers: tuple[int, ...]) -> Others:
        workers = [self._workers.values[number] for number in numbers]
        busy_with = {worker.claim for worker in workers if worker.task != "insert"} if self._has_time else ()
        expire = any(worker.task == "expire" for worker in workers)
        return Others(len(workers) < self.limits.workers, expire, frozenset(busy_with))

    def _around(self, number: int, others: Others) -> list[Change]:
        return self._changes(moves(self._worlds.values[number], others, self.rules, self.limits))

    def _steps(self, number: int, worker_number: int) -> list[Change]:
        world, worker = self._worlds.values[number], self._workers.values[worker_number]
        dies = (f"the worker about to {worker.task} dies", worker.claim, world)
        return self._changes([*steps(world, worker, self.rules, self.limits), dies])

    def _changes(self, found: Iterable[Move]) -> list[Change]:
        return [
            (label, claim, self._worlds.of(after._replace(workers=())), tuple(map(self._workers.of, after.workers)))
            for label, claim, after in found
        ]

    def _joined(self, number: int, workers: Iterable[int]) -> State:
        tidied = [kept for worker in workers if (kept := self._tidied(number, worker)) is not None]
        tidied.sort()
        return (number, *tidied)

    def _tidied(self, number: int, worker_number: int) -> int | None:
        """Return the worker without the values that it no longer uses, None if it can no longer do anything."""
        rules = self.rules
        versions_hold = rules.compare_and_set and rules.compare_on_expiry and rules.store is not KeepsAnything
        if not versions_hold or rules.replies_decide:
            return worker_number
        tidied = _tidied(self._worlds.values[number], self._workers.values[worker_number], rules)
        return None if tidied is None else self._workers.of(tidied)


class Numbers(Generic[Value]):
    """Numbers for values, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._numbers: dict[Value, int] = {}

    def of(self, value: Value) -> int:
        """Return the number of a value."""
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number


def search(start: World, rules: Rules, limits: Limits, maximum: int = 50_000_000, at_rest: bool = True) -> Found:
    """Visit every state that can be reached from `start`; stop at the first violation, or after `maximum` states.

    `at_rest`: from each state without workers let everything come to rest, too.
    """
    began, space = time.monotonic(), Space(rules, limits)
    first = space.state(start)
    came_from, waiting = {first: (first, "", -1)}, deque([first])
    while waiting and len(came_from) < maximum:
        state = waiting.popleft()
        wrong = space.violation(state[0])
        if not wrong and at_rest and len(state) == 1:
            wrong = violation_at_rest(space.world(state), rules, limits)
        if wrong:
            return Found(len(came_from), wrong, _trace(state, came_from), time.monotonic() - began)
        for label, claim, after in space.ahead(state):
            if after not in came_from:
                came_from[after] = (state, label, claim)
                waiting.append(after)
    return Found(len(came_from), seconds=time.monotonic() - began)


def walk(start: World, rules: Rules, limits: Limits, seed: int, steps: int = 120) -> Found:
    """Take one random way through the states; faults end after it, and everything must come to rest."""
    space = Space(rules, limits)
    chance, state, trace = random.Random(seed), space.state(start), []
    for number in range(steps):
        ahead = list(space.ahead(state))
        if not ahead:
            break
        label, claim, state = chance.choice(ahead)
        trace.append(_described(label, claim))
        if wrong := space.violation(state[0]):
            return Found(number, wrong, trace)
    wrong = violation_at_rest(space.world(state), rules, limits)
    return Found(len(trace), wrong, trace if wrong else [])


def _tidied(world: World, worker: Worker, rules: Rules) -> Worker | None:
    if worker.task == "insert":
        return worker if len(world.claims) <= worker.claim or not rules.one_winner else None
    claim = world.claims[worker.claim]
    if worker.task == "expire" or (worker.task == "extend" and rules.compare_on_extension):
        return worker if len(claim.history) == worker.order_version else None
    if worker.task == "extend":
        return worker
    document, read = claim.document, worker.read
    is_stale = bool(read and document and (read.version, read.copy) != (document.version, document.copy))
    if worker.task in ("save", "update_work_left") and is_stale and not worker.acks:
        worker = loser(worker, rules) or Worker("", 0)
    if worker.task == "" or (worker.task == "compare" and document and document.intent == worker.intent):
        return None
    if (
        worker.task in ("cancel", "confirm", "capture", "refund", "refund_partially")
        and not worker.acks
        and worker.intent is not None
    ):
        status = claim.intents[worker.intent].status
        if status == "canceled" or (status == "succeeded" and "refund" not in worker.task):
            return None
    if worker.task == "confirm" and is_stale:
        return worker._replace(read=None)
    if worker.task in ("look", "search", "create") and is_stale and read is not None:
        return worker._replace(read=read._replace(version=0, declines=0, status="open", work_left=False), then="")
    return worker


def _trace(state: State, came_from: dict[State, tuple[State, str, int]]) -> list[str]:
    trace: list[str] = []
    while came_from[state][1]:
        state, label, claim = came_from[state]
        trace.insert(0, _described(label, claim))
    return trace


def _described(label: str, claim: int) -> str:
    return f"order {claim + 1}: {label}" if claim >= 0 else label
