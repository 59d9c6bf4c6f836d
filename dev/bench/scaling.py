"""docs/scaling.md: the capacity of more copies of each part, computed from the measured CPU-ms by program."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dev.bench.report import Results, amount, markdown
from dev.bench.simulation import SERVERS, Machine, Simulation
from gateway.reservations import GATHER_SECONDS

PAGE = "docs/scaling.md"
OPERATIONS = {
    "list-50": "list of 50 tickets",
    "ticket": "one ticket",
    "page-signed-in": "page, signed in",
    "sign-in": "sign-in",
    "reservation": "reservation",
    "refusal-reserved": "refusal",
    "bought": "ticket bought",
}
PROCESSES = {"gateway": 2}
"""The programs of which `make run`, or one set of containers, runs more than one process."""
LEFT_OUT = ("fake-stripe", "broker-setup", "epmd")
MULTIPLIED = {
    "gateway": "any number of processes and nodes behind a load balancer; nothing is shared but the broker",
    "auth": "any number of processes",
    "tickets": "any number of processes, which share queues; what concerns one ticket is ordered by versions",
    "orders": "any number of processes; one document of MongoDB decides who gets a ticket",
    "payments": "any number of processes",
    "expiration": "any number of processes",
    "worker": "any number of processes",
    "scheduler": "one at work, others wait for its lock in Redis",
    "mongo": "one primary takes all writes of a database, on as many cores as it has: the five databases may be five"
    " replica sets; a collection that is sharded spreads further",
    "rabbitmq": "a queue works on one node, on one core or little more; queues spread over the nodes of a cluster",
    "redis": "one core, of which deadlines need little",
}
BIG_NODE = 16
CONNECTIONS = 16
BENCHMARK = 2
"""The connections and the cores of the benchmark."""
CALIBRATED = {"rest", "list-50"}
PREDICTED = {
    "page-signed-in": ("page-signed-in", 200, ("per_second",)),
    "sign-in": ("sign-in", 150, ("per_second", "p50_ms")),
    "reservation": ("reservation", 150, ("per_second", "p50_ms")),
    "reservation-form": ("reservation", 150, ("per_second", "p50_ms")),
    "refusal-reserved": ("refusal-reserved", 150, ("per_second", "p50_ms")),
    "refusal-sold": ("refusal-reserved", 150, ("per_second", "p50_ms")),
    "bought": ("bought", 80, ("per_second", "p50_ms")),
}
"""By row: the row from whose CPU-ms it is predicted, the number of operations, and the figures that are predicted."""
GATHERED = ("refusal-reserved",)
"""The rows for which a process of the gateway asks about many requests at once."""
RATES = (10, 1_000, 100_000)
BUSY = 0.6
"""The highest utilization of a core at which requests that arrive at random do not wait long."""
FEWEST = 2
ARRIVALS = 300
PER_PARTITION = 1_000
NEGLIGIBLE = 0.02
"""CPU-ms that count as noise."""
TEXT = Path(__file__).with_suffix(".txt").read_text()
"""The page, with names in braces for the computed values."""


def page(results: Results) -> str:
    """Return docs/scaling.md for these results."""
    used = {name: _used(results[name]["programs"]) for name in OPERATIONS if name in results}
    programs = [name for name in MULTIPLIED if any(name in spent for spent in used.values())]
    machine, client = calibrated(results)
    reservation = used["reservation"]
    return TEXT.format(
        first=markdown([["operation", *programs, "two cores"], *(_ceilings(*each, programs) for each in used.items())]),
        cores=markdown([["operation", *programs, "all"], *(_cores(*each, programs) for each in used.items())]),
        servers=markdown(
            [
                ["operation", "MongoDB, a second", "RabbitMQ, a second", "our processes with that MongoDB"],
                *(_at_servers(*each) for each in used.items() if "mongo" in each[1]),
            ]
        ),
        multiplied="".join(f"| {name} | {how} |\n" for name, how in MULTIPLIED.items()),
        big=BIG_NODE,
        busy=round(100 * BUSY),
        plan=markdown(_plans(reservation)),
        partitions=RATES[-1] // PER_PARTITION,
        each=_count(PER_PARTITION),
        queue=_count(1000 / results["events-ours"]["programs"]["rabbitmq"]) if "events-ours" in results else "?",
        sign_in=amount(used["sign-in"].get("auth", 0.0)) if "sign-in" in used else "?",
        client=amount(client),
        idle=amount(machine.idle),
        predicted=markdown(_predicted(results)),
    )


def calibrated(results: Results) -> tuple[Machine, float]:
    """Return the machine of the benchmark, and the milliseconds that its client takes for each request."""
    if not results.keys() >= CALIBRATED:
        return Machine(BENCHMARK, 0.0, PROCESSES), NEGLIGIBLE
    rest, lists = results["rest"]["figures"], results["list-50"]["figures"]
    idle = (rest["our_idle_ms_a_second"].median + rest["servers_idle_ms_a_second"].median) / 1000
    client = (BENCHMARK - idle) * 1000 / lists["per_second"].median - lists["cpu_ms"].median
    return Machine(BENCHMARK, idle, PROCESSES), max(client, NEGLIGIBLE)


def predictions(results: Results) -> Iterator[tuple[str, str, str, float, float]]:
    """Yield each row, the one from whose CPU-ms it is predicted, the figure, and its predicted and measured values."""
    machine, client = calibrated(results)
    simulated: dict[str, dict[str, float]] = {}
    for row, (source, operations, figures) in PREDICTED.items():
        if not {row, source, *CALIBRATED} <= results.keys():
            continue
        if source not in simulated:
            spent = {name: ms for name, ms in results[source]["programs"].items() if ms > NEGLIGIBLE and name != "epmd"}
            gather_ms = 1000 * GATHER_SECONDS if source in GATHERED else None
            outcome = Simulation(machine, {**spent, "client": client}, gather_ms).at_once(CONNECTIONS, operations)
            simulated[source] = {"per_second": outcome.per_second, "p50_ms": outcome.percentile(50)}
        for figure in figures:
            yield row, source, figure, simulated[source][figure], results[row]["figures"][figure].median


def _predicted(results: Results) -> list[list[str]]:
    words = {"per_second": "a second", "p50_ms": "p50 ms"}
    return [
        ["row", "CPU-ms of", "figure", "predicted", "measured", "predicted / measured"],
        *(
            [
                f"`{row}`",
                f"`{source}`",
                words[figure],
                amount(predicted),
                amount(measured),
                f"{predicted / measured:.2f}",
            ]
            for row, source, figure, predicted, measured in predictions(results)
        ),
    ]


def _plans(spent: Mapping[str, float]) -> list[list[str]]:
    head = ["", *(f"{_count(rate)} a second" for rate in RATES)]
    partitions = [max(1, rate // PER_PARTITION) for rate in RATES]
    rows = [["partitions", *map(_count, partitions)]]
    for name, ms in spent.items():
        counts = [number * needed(rate / number, name, ms) for rate, number in zip(RATES, partitions, strict=True)]
        rows.append([f"{name}, cores" if name in SERVERS else name, *map(_count, counts)])
    waits = [_waits(rate / number, spent) for rate, number in zip(RATES, partitions, strict=True)]
    return [head, *rows, ["p50 ms", *(wait[0] for wait in waits)], ["p99 ms", *(wait[1] for wait in waits)]]


def _count(number: float) -> str:
    return f"{round(number):,}".replace(",", " ")


def needed(per_second: float, name: str, ms: float) -> int:
    """Return how many processes of a program, or cores of a server, such a rate needs."""
    busy = math.ceil(per_second * ms / 1000 / BUSY)
    return busy if name in SERVERS else max(FEWEST, busy)


def _waits(per_second: float, spent: Mapping[str, float]) -> tuple[str, str]:
    processes = {name: needed(per_second, name, ms) for name, ms in spent.items()}
    outcome = Simulation(Machine(processes=processes), spent).arriving(per_second, ARRIVALS)
    return amount(outcome.percentile(50)), amount(outcome.percentile(99))


def first_to_saturate(spent: Mapping[str, float]) -> str:
    """Return the program, of those that use one core for each process, that can do the fewest such operations."""
    own = {name: ms / PROCESSES.get(name, 1) for name, ms in spent.items() if name not in SERVERS}
    return max(own, key=lambda name: own[name])


def _used(programs: Mapping[str, Any]) -> dict[str, float]:
    return {name: ms for name, ms in programs.items() if name not in LEFT_OUT and ms > NEGLIGIBLE}


def _ceilings(operation: str, spent: Mapping[str, float], programs: list[str]) -> list[str]:
    first = first_to_saturate(spent)
    rates = {name: amount(PROCESSES.get(name, 1) * 1000 / ms) for name, ms in spent.items()}
    cells = [f"**{rates[name]}**" if name == first else rates.get(name, "") for name in programs]
    return [OPERATIONS[operation], *cells, amount(2000 / sum(spent.values()))]


def _cores(operation: str, spent: Mapping[str, float], programs: list[str]) -> list[str]:
    cells = [amount(spent[name]) if name in spent else "" for name in programs]
    return [OPERATIONS[operation], *cells, amount(sum(spent.values()))]


def _at_servers(operation: str, spent: Mapping[str, float]) -> list[str]:
    at_mongo = BIG_NODE * 1000 / spent["mongo"]
    at_rabbitmq = amount(BIG_NODE * 1000 / spent["rabbitmq"]) if "rabbitmq" in spent else ""
    own = sum(ms for name, ms in spent.items() if name not in SERVERS)
    return [OPERATIONS[operation], amount(at_mongo), at_rabbitmq, amount(at_mongo * own / 1000)]
