"""An exhaustive search of how copies are compared with what changed: the comparison's own code, whatever else happens.

One aggregate, all of whose events are lost, and its copy. A write takes its time of change first and is visible later.
At each step of a run a write may begin or end, the clock may tick, and the instance may die, fail to repair, or pause
for longer than its lease, so that another instance runs. However all that is interleaved, once it has ended the copy
must equal its source by comparing changes alone: nothing is compared in full here.
"""

import os
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import MagicMock, patch

import pytest

from libs.errors import Unavailable
from libs.events import anti_entropy
from libs.events.anti_entropy import AntiEntropy, Source, State

NOTHING = MagicMock()
IS_DEEP = os.environ.get("TICKETING_SEARCH") == "deep"
LONGEST_WRITE = 2
"""Before so many ticks of the clock have passed since its time of change, a write is visible."""


@dataclass
class World:
    """The source, its copy, and what may still happen."""

    lag: int = LONGEST_WRITE
    forgets: bool = False
    clock: int = 10
    version: int = 1
    changed_at: int = 0
    writing_since: int | None = None
    copied: int = 0
    saved: State = field(default_factory=State)
    left: dict[str, int] = field(
        default_factory=lambda: {"write": 1, "tick": 2, "die": 1, "fail to repair": 1, "be overtaken": 1}
    )

    def possible(self) -> list[str]:
        """Return what may happen now, as names of methods."""
        found = [name for name in ("die", "be overtaken") if self.left[name]]
        if self.writing_since is not None:
            found.append("end the write")
        elif self.left["write"]:
            found.append("begin a write")
        if self.left["tick"] and (self.writing_since is None or self.clock + 1 < self.writing_since + LONGEST_WRITE):
            found.append("tick")
        return found

    def begin_write(self) -> None:
        """Take the time of change of a write that is not visible yet."""
        self.left["write"] -= 1
        self.writing_since = self.clock

    def end_write(self) -> None:
        """Make it visible."""
        assert self.writing_since is not None
        self.version, self.changed_at, self.writing_since = self.version + 1, self.writing_since, None

    def tick(self) -> None:
        """Let time pass."""
        self.left["tick"] -= 1
        self.clock += 1


class Died(BaseException):
    """The instance is killed."""


class Explored(BaseException):
    """What follows has been searched before."""


class Search:
    """Tries every schedule: the list of the choices that were made where something could happen."""

    def __init__(self, start: World) -> None:
        self.start = start
        self.seen: set[str] = set()
        self.runs = 0

    def failure(self) -> list[str] | None:
        """Return what happened when the copy stayed old in the end, None when it never does."""
        made: list[int] | None = []
        while made is not None:
            self.runs += 1
            schedule = Schedule(made)
            player = Player(deepcopy(self.start), schedule, self.seen)
            try:
                player.play()
                if player.world.copied != player.world.version:
                    return schedule.trace
            except Explored:
                pass
            made = schedule.following()
        return None


class Schedule:
    """Makes the choices of one play: those of a prefix, then always the first option."""

    def __init__(self, made: list[int]) -> None:
        self.made, self.replayed = made, len(made)
        self.sizes: list[int] = []
        self.trace: list[str] = []

    @property
    def is_new(self) -> bool:
        """Whether the prefix is over."""
        return len(self.sizes) >= self.replayed

    def choose(self, options: list[str]) -> str:
        """Return one of the options."""
        number = len(self.sizes)
        self.sizes.append(len(options))
        if number == len(self.made):
            self.made.append(0)
        self.trace.append(options[self.made[number]])
        return self.trace[-1]

    def following(self) -> list[int] | None:
        """Return the prefix to try next; None after the last."""
        made = self.made[: len(self.sizes)]
        while made and made[-1] + 1 == self.sizes[len(made) - 1]:
            made.pop()
        return [*made[:-1], made[-1] + 1] if made else None


class Player:
    """Plays one schedule: two runs with whatever happens meanwhile, then two in peace."""

    def __init__(self, world: World, schedule: Schedule, seen: set[str]) -> None:
        self.world, self.schedule, self.seen = world, schedule, seen
        self.is_dead = self.is_peaceful = False
        self.states: list[State] = []
        self.round = 0

    def play(self) -> None:
        """Let it all happen, then end what has begun, and compare in peace."""
        for self.round in range(2):
            self.run()
        world = self.world
        if world.writing_since is not None:
            world.end_write()
        self.is_peaceful, world.clock = True, world.clock + LONGEST_WRITE
        for _ in range(2):
            self.run()

    def run(self) -> None:
        """Run the comparison once."""
        self.is_dead = False
        source = Source(NOTHING, lambda after: [], self.changes, self.stale, self.fetch, self.follow)
        with suppress(Died), patch.multiple(anti_entropy, Progress=lambda *_: self, log=NOTHING):
            AntiEntropy("test").run(source)

    def happen(self, step: str) -> None:
        """Let what may happen before a step happen, or nothing."""
        while not self.is_peaceful:
            key = f"{self.round} {step} {self.states} {self.world}"
            if self.schedule.is_new:
                if key in self.seen:
                    self.is_dead = True
                    raise Explored
                self.seen.add(key)
            chosen = self.schedule.choose([step, *self.world.possible()])
            if chosen == step:
                return
            if chosen == "die":
                self.world.left["die"] -= 1
                self.is_dead = True
                raise Died
            if chosen == "be overtaken":
                self.world.left["be overtaken"] -= 1
                self.run()
            else:
                {"begin a write": self.world.begin_write, "end the write": self.world.end_write}.get(
                    chosen, self.world.tick
                )()

    # What the comparison sees of the progress

    def take(self) -> State:
        """Lend a copy of the state."""
        self.states.append(deepcopy(self.world.saved))
        return self.states[-1]

    def save(self, state: State) -> None:
        """Save it, unless the instance died."""
        try:
            if not self.is_dead:
                self.happen("save")
                self.world.saved = deepcopy(replace(state, left=[]) if self.world.forgets else state)
        finally:
            self.states.pop()

    # and of the source and the copies

    def changes(self, after: Any) -> dict[str, Any]:
        """Return what changed since, up to what is old enough."""
        self.happen("read what changed")
        world, until = self.world, self.world.clock - self.world.lag
        is_found = (after or [0])[0] < world.changed_at <= until
        return {"page": [["b1", world.version]] if is_found else [], "next": [until], "is_last": True}

    def stale(self, page: Any) -> list[str]:
        """Return whose copy is old."""
        return [ident for ident, version in page if self.world.copied < version]

    def fetch(self, idents: list[str]) -> list[dict[str, Any]]:
        """Return the snapshots."""
        self.happen("fetch")
        return [{"id": ident, "version": self.world.version} for ident in idents]

    def follow(self, snapshot: dict[str, Any]) -> None:
        """Apply one, if it is newer."""
        self.happen(f"follow version {snapshot['version']}")
        may_fail = not self.is_peaceful and self.world.left["fail to repair"]
        if may_fail and self.schedule.choose(["repair", "fail to repair"]) == "fail to repair":
            self.world.left["fail to repair"] -= 1
            raise Unavailable("the database is unreachable")
        self.world.copied = max(self.world.copied, snapshot["version"])


DEEP = {"left": {"write": 2, "tick": 3, "die": 1, "fail to repair": 1, "be overtaken": 1}} if IS_DEEP else {}


def test_a_copy_equals_its_source_whatever_happened_while_changes_were_compared():
    search = Search(World(copied=1, **DEEP))

    assert search.failure() is None
    print(f"{len(search.seen)} states, {search.runs} schedules")


@pytest.mark.parametrize(
    ("mistake", "changes"),
    [
        ("changes are compared before every older one is visible", {"lag": LONGEST_WRITE - 1}),
        ("what could not be repaired is forgotten", {"forgets": True}),
    ],
)
def test_a_mistake_is_found(mistake, changes):
    assert Search(World(copied=1, **changes)).failure(), mistake
