"""The search: every state that can be reached, the nearest first, so that a violation comes with a shortest trace."""

import random
import time
from collections import deque
from dataclasses import dataclass, field

from tests.protocol.invariants import violation, violation_at_rest
from tests.protocol.model import Limits, Worker, World
from tests.protocol.moves import moves
from tests.protocol.rules import Rules
from tests.protocol.switches import KeepsAnything
from tests.protocol.workers import loser


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


def search(start: World, rules: Rules, limits: Limits, maximum: int = 50_000_000, at_rest: bool = True) -> Found:
    """Visit every state that can be reached from `start`; stop at the first violation, or after `maximum` states.

    `at_rest`: from each state without workers let everything come to rest, too.
    """
    began, came_from, waiting = time.monotonic(), {start: (start, "")}, deque([start])
    while waiting and len(came_from) < maximum:
        world = waiting.popleft()
        wrong = violation(world) or ("" if world.workers or not at_rest else violation_at_rest(world, rules, limits))
        if wrong:
            return Found(len(came_from), wrong, _trace(world, came_from), time.monotonic() - began)
        for label, number, reached in moves(world, rules, limits):
            after = tidied(reached, rules)
            if after not in came_from:
                came_from[after] = (world, f"order {number + 1}: {label}" if number >= 0 else label)
                waiting.append(after)
    return Found(len(came_from), seconds=time.monotonic() - began)


def walk(start: World, rules: Rules, limits: Limits, seed: int, steps: int = 120) -> Found:
    """Take one random way through the states; faults end after it, and everything must come to rest."""
    chance, world, trace = random.Random(seed), start, []
    for number in range(steps):
        ahead = list(moves(world, rules, limits))
        if not ahead:
            break
        label, claim, reached = chance.choice(ahead)
        world = tidied(reached, rules)
        trace.append(f"order {claim + 1}: {label}")
        if wrong := violation(world):
            return Found(number, wrong, trace)
    wrong = violation_at_rest(world._replace(workers=()), rules, limits)
    return Found(len(trace), wrong, trace if wrong else [])


def tidied(world: World, rules: Rules) -> World:
    """Return the world without workers that can no longer do anything, and without what they no longer use."""
    versions_hold = rules.compare_and_set and rules.compare_on_expiry and rules.store is not KeepsAnything
    if not world.workers or not versions_hold or rules.replies_decide:
        return world
    kept = [tidy for worker in world.workers if (tidy := _tidied(world, worker, rules))]
    return world if kept == list(world.workers) else world._replace(workers=tuple(sorted(kept, key=hash)))


def _tidied(world: World, worker: Worker, rules: Rules) -> Worker | None:
    if worker.task == "insert":
        return worker if len(world.claims) <= worker.claim or not rules.one_winner else None
    claim = world.claims[worker.claim]
    if worker.task == "expire":
        return worker if len(claim.history) == worker.order_version else None
    document, read = claim.document, worker.read
    is_stale = bool(read and document and (read.version, read.copy) != (document.version, document.copy))
    if worker.task in ("save", "update_work_left") and is_stale and not worker.acks:
        worker = loser(worker, rules) or Worker("", 0)
    if worker.task == "" or (worker.task == "compare" and document and document.intent == worker.intent):
        return None
    if worker.task in ("cancel", "confirm", "capture", "refund") and not worker.acks and worker.intent is not None:
        status = claim.intents[worker.intent].status
        if status == "canceled" or (status == "succeeded" and worker.task != "refund"):
            return None
    if worker.task == "confirm" and is_stale:
        return worker._replace(read=None)
    if worker.task in ("look", "search", "create") and is_stale and read is not None:
        return worker._replace(read=read._replace(version=0, declines=0, status="open", work_left=False), then="")
    return worker


def _trace(world: World, came_from: dict[World, tuple[World, str]]) -> list[str]:
    trace: list[str] = []
    while came_from[world][1]:
        world, label = came_from[world]
        trace.insert(0, label)
    return trace
