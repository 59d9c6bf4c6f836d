"""How much processor time programs have used, read from /proc."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS, LONGEST_SETTLING_SECONDS = 0.25, 30.0
IDLE_AT_MOST = 80.0
"""The limit a second while their use at rest has not been measured."""
NOISE_MS = 20.0
"""How much more than on average programs at rest may use in LOOK_SECONDS."""


def milliseconds(*groups: int) -> float:
    """Return the CPU-milliseconds, user and system, that the live processes of these process groups have used."""
    used = by_group()
    return sum(used[group] for group in groups)


def by_group() -> Mapping[int, float]:
    """Return the CPU-milliseconds that the live processes of each process group and their dead children have used."""
    used: defaultdict[int, float] = defaultdict(float)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        used[int(fields[2])] += sum(map(int, fields[11:15])) / TICKS_PER_SECOND * 1000
    return used


def group_of(pid: int) -> int:
    """Return the process group of a process."""
    return os.getpgid(pid)


def of_process(pid: int) -> float:
    """Return the CPU-milliseconds that one process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND * 1000


class Meter:
    """The CPU time of programs, given by their process groups, beyond what they use at rest."""

    def __init__(self, groups: Mapping[str, int]) -> None:
        self._groups = groups
        self.idle: dict[str, float] = dict.fromkeys(groups, 0.0)

    def read(self) -> dict[str, float]:
        """Return the CPU-milliseconds that each program has used."""
        used = by_group()
        return {name: used[group] for name, group in self._groups.items()}

    def rest(self, seconds: float) -> None:
        """Measure for so long how much the programs use at rest, in CPU-milliseconds a second."""
        before, began = self.read(), time.perf_counter()
        time.sleep(seconds)
        after, passed = self.read(), time.perf_counter() - began
        self.idle = {name: (after[name] - before[name]) / passed for name in before}

    def settle(self) -> None:
        """Return once the programs are at rest again: all work that follows from the last request is done."""
        limit = max(sum(self.idle.values()), IDLE_AT_MOST) * LOOK_SECONDS + NOISE_MS
        deadline, before = time.monotonic() + LONGEST_SETTLING_SECONDS, sum(self.read().values())
        while time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            now = sum(self.read().values())
            if now - before <= limit:
                return
            before = now

    def since(self, before: Mapping[str, float], seconds: float) -> dict[str, float]:
        """Return how much each program used since `before`, less its use at rest in so many seconds."""
        now = self.read()
        return {name: now[name] - used - self.idle[name] * seconds for name, used in before.items()}
