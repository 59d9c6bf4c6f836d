"""docs/scaling.md: what each part can do when there is more of it, computed from the measured CPU-ms by program."""

from collections.abc import Mapping
from typing import Any

from dev.bench.report import Results, amount, markdown

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
"""Of which there is more than one where `make run` or one set of containers runs."""
LEFT_OUT = ("fake-stripe", "broker-setup", "epmd")
SERVERS = ("mongo", "rabbitmq", "redis")
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
NEGLIGIBLE = 0.02
"""CPU-ms that are no more than noise."""
TEXT = """\
# Scaling

Computed from the CPU-ms by program in [performance.json](performance.json), which `make bench` measures; it writes this
page too. A process of ours uses one core at most, as Python does; RabbitMQ and MongoDB use several. The same operation
costs a little less per event under load, when more of them are handled in one batch, and no network is part of it.

## Where one set of programs ends

How many operations a second one process of each program can do (two of the gateway), if it had a core to itself: the
smallest, in bold, is what saturates first. The last column is what two cores that are shared by everything can do.

{first}
## What a thousand a second need

CPU-ms for one operation are, at the same time, the cores for a thousand of them a second.

{cores}
## When processes and nodes are added

Our own programs keep no state of their own beyond copies of what is stored, so that whichever saturates is started more
often. What remains are the servers. With as many of our processes as it takes, one primary of MongoDB with {big} cores,
for all databases, ends at these rates, and one node of RabbitMQ that has {big} cores for its queues at these:

{servers}
| part | how there is more of it |
| --- | --- |
{multiplied}"""


def page(results: Results) -> str:
    """Return docs/scaling.md for these results."""
    used = {name: _used(results[name]["programs"]) for name in OPERATIONS if name in results}
    programs = [name for name in MULTIPLIED if any(name in spent for spent in used.values())]
    return TEXT.format(
        first=markdown([["operation", *programs, "two cores"], *(_ceilings(*each, programs) for each in used.items())]),
        cores=markdown([["operation", *programs, "all"], *(_cores(*each, programs) for each in used.items())]),
        servers=markdown(
            [
                ["operation", "MongoDB, a second", "RabbitMQ, a second", "our processes beside that MongoDB"],
                *(_at_servers(*each) for each in used.items() if "mongo" in each[1]),
            ]
        ),
        multiplied="".join(f"| {name} | {how} |\n" for name, how in MULTIPLIED.items()),
        big=BIG_NODE,
    )


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
