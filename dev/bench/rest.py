"""The costs of an idle system: a start with data, memory after light use, and CPU at rest."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dev.bench import sizes
from dev.bench.cpu import group_of
from dev.bench.load import Stream, asking, request
from dev.bench.rows import Measured, Row, Suite
from dev.bench.system import NOT_OURS, QUIET, Site, bought
from dev.stack import Stack, free_ports
from dev.stack.programs import all_programs
from dev.stack.supervisor import members

SERVERS = ("epmd", "rabbitmq", "redis", "mongo")
LIGHT_USE = 20
"""How often each of some pages is asked for, how many tickets are bought, and how many users sign up."""


class Folder:
    """The folder of a stack that has run before, and runs again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ports = folder, free_ports()
        with self._stack():
            pass

    def _stack(self) -> Stack:
        return Stack(self._folder, self._ports, all_programs, QUIET)

    def measure(self) -> Measured:
        """Start the system, use it a little, and measure what it needs then."""
        stack, began = self._stack(), time.perf_counter()
        with stack:
            seconds = time.perf_counter() - began
            site = Site(stack)
            with site.mongo:
                use_a_little(site)
                site.rest(sizes.IDLE_SECONDS)
                memory = memory_mb(stack)
        idle = site.meter.idle
        return Measured(
            {
                "warm_start_s": seconds,
                "our_memory_mb": memory["ours"],
                "servers_memory_mb": memory["servers"],
                "our_idle_ms_a_second": sum(used for name, used in idle.items() if name not in (*SERVERS, NOT_OURS)),
                "servers_idle_ms_a_second": sum(used for name, used in idle.items() if name in SERVERS),
            },
            idle,
        )


def use_a_little(site: Site) -> None:
    """Do some of everything."""
    pages = [request("GET", path) for path in ("/tickets", "/api/tickets", f"/api/tickets/{site.shown[0]}")]
    site.load.run(Stream(asking(page) for page in pages * LIGHT_USE))
    pairs = zip(site.newcomers(LIGHT_USE), site.put_on_sale(LIGHT_USE), strict=True)
    site.load.run(Stream((bought(*pair) for pair in pairs), connections=2))
    site.sign_up(LIGHT_USE)


def memory_mb(stack: Stack) -> dict[str, float]:
    """Return the memory (PSS) of the servers and that of all other processes of a stack, in MB."""
    servers = {group_of(stack.pid(name)) for name in SERVERS}
    used = {"ours": 0.0, "servers": 0.0}
    for pid in members(stack.folder):
        with suppress(OSError):  # it ended just now
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            used["servers" if group_of(pid) in servers else "ours"] += kilobytes * 1024 / 1e6
    return used


@contextmanager
def opened(rows: Sequence[Row]) -> Iterator[Folder]:
    """Make the folder of a stack that has run once."""
    with tempfile.TemporaryDirectory() as folder:
        yield Folder(Path(folder))


SUITE = Suite(
    "At rest and at start",
    'After a start with the data of an earlier run, and light use. The memory is PSS; "our" programs are all that'
    " `make run` starts but for RabbitMQ with epmd, Redis and MongoDB: with supervisord and the fake Stripe (whose"
    " idle CPU is left out). `servers-at-rest` is what those servers use when nothing is connected to them.",
    [
        Row(
            "rest",
            "the whole system, nobody using it",
            Folder.measure,
            {"warm_start_s": 10, "our_memory_mb": 500, "our_idle_ms_a_second": 20},
        )
    ],
    opened,
)
