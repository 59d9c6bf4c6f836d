"""A discrete-event simulation of the system: each operation visits its programs, which share the cores of a machine.

A program of ours is so many processes, of which each uses one core at most; a server uses as many as there are. An
operation needs the measured processor time of each program, in slices as an operating system gives it. It ends when
every program is done with it, including those that only listen to its events.
"""

import random
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import simpy

from libs.shared_reads import MOST_GATHERINGS

SLICE_MS = 3.0
MOST_SLICES = 8
SERVERS = ("mongo", "rabbitmq", "redis")
ENDLESS = 10**6

Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Machine:
    """So many cores, of which `idle` are busy even without requests, and the number of processes of each program.

    Programs that are not named have one process. Without `cores` every process has one of its own.
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


@dataclass
class Batch:
    """Operations whose reads are made together."""

    done: simpy.Event
    size: int = 0


@dataclass
class Gatherer:
    """The batches of one process's reads: one is read at a time, while another gathers."""

    turn: simpy.Resource
    waiting: Batch | None = None


class Simulation:
    """Operations of one kind, with their processor time in milliseconds by program.

    With `gather_ms` each process of the gateway reads for all operations that came meanwhile at once, as
    `libs.shared_reads.BatchedReads` does.
    """

    def __init__(self, machine: Machine, spent: Mapping[str, float], gather_ms: float | None = None) -> None:
        self._environment = simpy.Environment()
        self._chance = random.Random(1)  # noqa: S311 - the same each time
        self._before, self._between, self._after = stages(spent)
        self._gather_ms = gather_ms
        turns = [simpy.Resource(self._environment) for _ in range(machine.processes.get("gateway", 1))]
        self._gatherers = [Gatherer(turn) for turn in turns]
        self._cores = simpy.Resource(self._environment, machine.cores or ENDLESS)
        own = {name: machine.processes.get(name, machine.cores or 1 if name in SERVERS else 1) for name in spent}
        self._programs = {name: simpy.Resource(self._environment, number) for name, number in own.items()}
        self._latencies: list[float] = []
        if machine.idle:
            self._environment.process(self._idling(machine.idle))

    def at_once(self, connections: int, operations: int) -> Outcome:
        """Simulate so many operations over connections that each do one after the other."""
        left = iter(range(operations))
        return self._outcome([self._environment.process(self._one_after_the_other(left)) for _ in range(connections)])

    def arriving(self, per_second: float, operations: int) -> Outcome:
        """Simulate so many operations that arrive at random, at this rate on average."""
        gaps = (self._chance.expovariate(per_second / 1000) for _ in range(operations))
        return self._outcome([self._environment.process(self._arrivals(gaps))])

    def rush(self, seconds: float, operations: int) -> Outcome:
        """Simulate so many operations that arrive evenly within so many seconds."""
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
        yield from self._visit(self._before)
        yield from self._visit(self._between) if self._gather_ms is None else self._share(self._gather_ms)
        yield from self._visit(self._after)
        self._latencies.append(self._environment.now - began)

    def _visit(self, stages: Iterable[tuple[str, float]], operations: int = 1) -> Steps:
        for name, ms in stages:
            with self._programs[name].request() as process:
                yield process
                yield from self._work(operations * ms * self._chance.uniform(0.5, 1.5))

    def _share(self, gather_ms: float) -> Steps:
        gatherer = self._chance.choice(self._gatherers)
        if gatherer.waiting is None:
            gatherer.waiting = Batch(self._environment.event())
            self._environment.process(self._read(gatherer, gatherer.waiting, gather_ms))
        gatherer.waiting.size += 1
        yield gatherer.waiting.done

    def _read(self, gatherer: Gatherer, batch: Batch, gather_ms: float) -> Steps:
        with gatherer.turn.request() as turn:
            yield turn
            joined = 0
            for _ in range(MOST_GATHERINGS):
                if batch.size == joined:
                    break
                joined = batch.size
                yield self._environment.timeout(gather_ms)
            gatherer.waiting = None
            yield from self._visit(self._between, batch.size)
        batch.done.succeed()

    def _work(self, ms: float) -> Steps:
        number = min(MOST_SLICES, int(ms / SLICE_MS) + 1)
        for _ in range(number):
            with self._cores.request() as core:
                yield core
                yield self._environment.timeout(ms / number)


def stages(spent: Mapping[str, float]) -> tuple[list[tuple[str, float]], ...]:
    """Return the programs in the order in which an operation visits them, with its milliseconds there, in three lists.

    It comes in (first) and goes out (last) through the gateway, and to each service and back through RabbitMQ; each
    uses the servers.
    """
    services = [name for name in spent if name not in (*SERVERS, "gateway")]
    shared = [(name, spent[name] / max(len(services), 1)) for name in SERVERS if name in spent]
    ways = [("gateway", spent["gateway"] / 2)] if "gateway" in spent else []
    between = [stage for service in services for stage in [(service, spent[service]), *shared]]
    return ways, between if services else shared, ways
