"""A discrete-event simulation of the system: each operation visits its programs, which share the cores of a machine.

A program of ours is so many processes, of which each uses one core at most; a server uses as many as there are. What an
operation needs of each program is the processor time that was measured, in slices as an operating system gives it. It
ends when every program is done with it, those too that only listen to its events.
"""

import random
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import simpy

SLICE_MS = 3.0
MOST_SLICES = 8
SERVERS = ("mongo", "rabbitmq", "redis")
ENDLESS = 10**6

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Machine:
    """So many cores, of which `idle` are busy though nobody comes, and how many processes there are of a program.

    Of programs that are not named there is one process. Without `cores` every process has one of its own.
    """

    cores: int | None = None
    idle: float = 0.0
    processes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How many operations were done a second, and the milliseconds that each took, sorted."""

    per_second: float
    latencies_ms: list[float]

    def percentile(self, percent: float) -> float:
        """Return the latency that so many per cent do not exceed."""
        return self.latencies_ms[min(len(self.latencies_ms) - 1, int(len(self.latencies_ms) * percent / 100))]


class Simulation:
    """Operations of one kind, with their processor time in milliseconds by program."""

    def __init__(self, machine: Machine, spent: Mapping[str, float]) -> None:
        self._environment = simpy.Environment()
        self._chance = random.Random(1)  # noqa: S311 - the same each time
        self._stages = list(stages(spent))
        self._cores = simpy.Resource(self._environment, machine.cores or ENDLESS)
        own = {name: machine.processes.get(name, machine.cores or 1 if name in SERVERS else 1) for name in spent}
        self._programs = {name: simpy.Resource(self._environment, number) for name, number in own.items()}
        self._latencies: list[float] = []
        if machine.idle:
            self._environment.process(self._idling(machine.idle))

    def at_once(self, connections: int, operations: int) -> Outcome:
        """Return what comes of so many operations over connections that each do one after the other."""
        left = iter(range(operations))
        return self._outcome([self._environment.process(self._one_after_the_other(left)) for _ in range(connections)])

    def arriving(self, per_second: float, operations: int) -> Outcome:
        """Return what comes of so many operations that arrive at random, at this rate on average."""
        gaps = (self._chance.expovariate(per_second / 1000) for _ in range(operations))
        return self._outcome([self._environment.process(self._arrivals(gaps))])

    def rush(self, seconds: float, operations: int) -> Outcome:
        """Return what comes of so many operations that arrive evenly within so many seconds."""
        gaps = [1000 * seconds / operations] * operations
        return self._outcome([self._environment.process(self._arrivals(gaps))])

    def _outcome(self, processes: Iterable[Any]) -> Outcome:
        self._environment.run(self._environment.all_of(processes))
        return Outcome(1000 * len(self._latencies) / self._environment.now, sorted(self._latencies))

    def _one_after_the_other(self, left: Iterator[int]) -> Steps:
        for _ in left:
            yield from self._operation()

    def _arrivals(self, gaps: Iterable[float]) -> Steps:
        arrived = []
        for gap in gaps:
            yield self._environment.timeout(gap)
            arrived.append(self._environment.process(self._operation()))
        yield self._environment.all_of(arrived)

    def _idling(self, cores: float) -> Steps:
        while True:
            yield from self._work(SLICE_MS)
            yield self._environment.timeout(SLICE_MS / cores - SLICE_MS)

    def _operation(self) -> Steps:
        began = self._environment.now
        for name, ms in self._stages:
            with self._programs[name].request() as process:
                yield process
                yield from self._work(ms * self._chance.uniform(0.5, 1.5))
        self._latencies.append(self._environment.now - began)

    def _work(self, ms: float) -> Steps:
        number = min(MOST_SLICES, int(ms / SLICE_MS) + 1)
        for _ in range(number):
            with self._cores.request() as core:
                yield core
                yield self._environment.timeout(ms / number)


def stages(spent: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the programs in the order in which an operation visits them, with its milliseconds there.

    It comes in and goes out through the gateway, and to each service and back through RabbitMQ; each uses the servers.
    """
    services = [name for name in spent if name not in (*SERVERS, "gateway")]
    shared = [(name, spent[name] / max(len(services), 1)) for name in SERVERS if name in spent]
    if "gateway" in spent:
        yield "gateway", spent["gateway"] / 2
    for service in services:
        yield service, spent[service]
        yield from shared
    if not services:
        yield from shared
    if "gateway" in spent:
        yield "gateway", spent["gateway"] / 2
