"""Events on our library and on others: the cost of one from change to effect, and how many are lost to kills."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from dev.bench import cpu, sizes
from dev.bench.rows import Measured, Row, Suite
from dev.bench.system import percentiles
from dev.stack import Stack, free_ports
from dev.stack.programs import no_programs
from dev.stack.servers import rabbitmq_is_ready
from dev.stack.supervisor import wait_until
from dev.testing import ROOT, new_database, new_vhost, wait_for

ENVIRONMENT = ROOT / ".stack" / "bench"
NAMEKO = [sys.executable, "-m", "libs.service"]
QUIET = {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR"}}
KINDS = ("producer", "consumer", "broker")
RATE, WORK_SECONDS = 20, 0.03
"""While consumers or the broker are killed: changes a second, and how long a handler works before its effect."""
RUNNING_SECONDS = (0.1, 0.6)
"""How long a library runs on once it works, before the next kill."""
RECOVERY_SECONDS = 45
"""After how long a library that does not recover is restarted as a whole, as its operator would do."""
MOST_RESTARTS = 5
"""How often in a row."""
RESTARTING_SECONDS = 180
"""How long a killed broker may take to be back, while everything tries to reach it again."""
STOP_SECONDS = 15
DRAIN_SECONDS = 10
"""After how long without a new effect missing ones count as lost."""


@dataclass(frozen=True)
class Library:
    """A library with one of its settings: the module of dev.bench.peers, and the command of its worker."""

    name: str
    what: str
    module: str
    worker: Sequence[str]
    is_reliable: bool = True

    @property
    def is_own(self) -> bool:
        """Whether it runs in the product's environment."""
        return self.worker == NAMEKO

    def command(self, config: Path) -> list[str]:
        """Return the command of the worker."""
        module = f"dev.bench.peers.{self.module}"
        if self.is_own:
            return [*self.worker, str(config), module]
        return [str(ENVIRONMENT / "bin" / self.worker[0]), *(word.format(module) for word in self.worker[1:])]

    @property
    def python(self) -> str:
        """The Python that makes changes."""
        return sys.executable if self.is_own else str(ENVIRONMENT / "bin" / "python")


CELERY = ["celery", "--quiet", "-A", "{}", "worker", "--loglevel", "CRITICAL"]
DRAMATIQ = ["dramatiq", "{}"]
FASTSTREAM = ["faststream", "run", "{}:app", "--log-level", "critical"]
LIBRARIES = [
    Library("ours", "ours: event stored with the change, relay, handler", "ours", NAMEKO),
    Library("nameko", "stock nameko, reliable settings", "stock_nameko", NAMEKO),
    Library("nameko-default", "stock nameko, default settings", "stock_nameko", NAMEKO, False),
    Library("faststream", "FastStream, reliable settings", "with_faststream", FASTSTREAM),
    Library("faststream-default", "FastStream, default settings", "with_faststream", FASTSTREAM, False),
    Library("celery", "Celery, reliable settings", "with_celery", CELERY),
    Library("celery-default", "Celery, default settings", "with_celery", CELERY, False),
    Library("dramatiq", "Dramatiq, reliable settings", "with_dramatiq", DRAMATIQ),
    Library("dramatiq-default", "Dramatiq, default settings", "with_dramatiq", DRAMATIQ, False),
]


class Peer:
    """A library at work: a process that makes changes, and a worker that handles their events."""

    def __init__(self, stack: Stack, library: Library, opened: ExitStack, work_seconds: float = 0.0) -> None:
        self._library, self.name = library, library.name
        amqp_url, mongo_url = opened.enter_context(new_vhost(stack)), opened.enter_context(new_database(stack))
        self._client: MongoClient[dict[str, Any]] = opened.enter_context(MongoClient(mongo_url))
        self.database = self._client.get_default_database()
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        self._config = folder / "config.yml"
        container = {"SERVICE_CONTAINER_CLS": "libs.amqp.container.Container"} if library.name == "ours" else {}
        self._config.write_text(json.dumps({"AMQP_URI": amqp_url, "LOGGING": QUIET, **container}))
        self._log = opened.enter_context((folder / "log").open("w"))
        self._environment = {
            **os.environ,
            "PEER_AMQP_URL": amqp_url,
            "PEER_MONGO_URL": mongo_url,
            "PEER_RELIABLE": str(int(library.is_reliable)),
            "PEER_WORK_SECONDS": str(work_seconds),
            "PYTHONWARNINGS": "ignore",
        }
        self.producer, self.consumer = self._start_producer(), self._start_consumer()
        opened.callback(lambda: self.kill("producer"))
        opened.callback(lambda: self.kill("consumer"))

    def _start(self, command: Sequence[str], **pipes: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stderr=self._log, text=True, start_new_session=True, **pipes
        )

    def _start_producer(self) -> "subprocess.Popen[str]":
        command = [self._library.python, "-m", f"dev.bench.peers.{self._library.module}"]
        producer = self._start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert producer.stdout is not None
        said = producer.stdout.readline()
        assert said == "ready\n", f"{self._library.name} makes no changes"
        return producer

    def _start_consumer(self) -> "subprocess.Popen[str]":
        return self._start(self._library.command(self._config), stdout=self._log)

    def kill(self, kind: str) -> None:
        """Kill one of the two, with its children."""
        process: subprocess.Popen[str] = getattr(self, kind)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def stop(self, kind: str) -> None:
        """Stop one of the two as a process manager would, which kills only what does not stop."""
        process: subprocess.Popen[str] = getattr(self, kind)
        process.terminate()
        if process.stdin is not None:
            process.stdin.close()  # which ends one that waits for work
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        self.kill(kind)

    def restart(self, kind: str) -> None:
        """Start one of the two again, which was killed or has ended."""
        setattr(self, kind, self._start_producer() if kind == "producer" else self._start_consumer())

    def keep(self, prefix: str) -> None:
        """Start again whichever has ended, as a process manager would, with changes of this prefix."""
        if self.consumer.poll() is not None:
            self.restart("consumer")
        if self.producer.poll() is not None:
            self.restart("producer")
            self.tell(prefix, RATE * 3600, RATE)

    def tell(self, prefix: str, count: int, rate: float) -> None:
        """Let changes be made."""
        assert self.producer.stdin is not None
        self.producer.stdin.write(f"{prefix} {count} {rate}\n")
        self.producer.stdin.flush()

    def make(self, prefix: str, count: int, rate: float = 0.0) -> None:
        """Let changes be made, and return once all of them are stored and their events published."""
        self.tell(prefix, count, rate)
        assert self.producer.stdout is not None
        assert self.producer.stdout.readline() == "done\n"

    def effects(self, prefix: str = "") -> int:
        """Return how many of the changes with such ids had their effect."""
        return int(self.database.effects.count_documents({"_id": {"$regex": f"^{prefix}"}}))

    def latencies_ms(self, prefix: str) -> list[float]:
        """Return the time from each change with such an id to its effect."""
        changed, had = (self._moments(collection, prefix) for collection in ("changes", "effects"))
        return [(had[ident] - at) * 1000 for ident, at in changed.items()]

    def works_again(self, prefix: str) -> bool:
        """Return True once changes and effects happened since this call, False when that took too long.

        Processes that ended meanwhile are started again, with changes of this prefix.
        """
        before = self._progress()

        def works() -> bool:
            self.keep(prefix)
            return all(now > then for now, then in zip(self._progress(), before, strict=True))

        return wait_until(works, RECOVERY_SECONDS)

    def _progress(self) -> list[int]:
        return [self.database[name].estimated_document_count() for name in ("changes", "effects")]

    def begin(self, prefix: str) -> None:
        """Kill both and start them again."""
        for kind in ("producer", "consumer"):
            self.kill(kind)
            self.restart(kind)
        self.tell(prefix, RATE * 3600, RATE)

    def drain(self) -> None:
        """Return once every change had its effect, or no other has come for a while."""
        for kind in ("producer", "consumer"):
            self.stop(kind)
            self.restart(kind)
        seen, since = self.effects(), time.monotonic()
        while time.monotonic() - since < DRAIN_SECONDS and self.missing():
            time.sleep(0.5)
            if (now := self.effects()) > seen:
                seen, since = now, time.monotonic()

    def missing(self) -> int:
        """Return how many changes have had no effect."""
        return len(self._ids("changes") - self._ids("effects"))

    def count(self, kind: str) -> dict[str, int]:
        """Return how many changes were made and lost, and how many effects had no change; start over."""
        changes, effects = self._ids("changes"), self._ids("effects")
        self.begin_anew()
        return {
            f"lost_to_{kind}": len(changes - effects),
            "effects_of_nothing": len(effects - changes),
            "changes": len(changes),
        }

    def begin_anew(self) -> None:
        """Forget all changes and effects."""
        self.database.changes.delete_many({})
        self.database.effects.delete_many({})

    def _moments(self, collection: str, prefix: str) -> dict[str, float]:
        found = self.database[collection].find({"_id": {"$regex": f"^{prefix}"}}, {"at": 1})
        return {each["_id"]: each["at"] for each in found}

    def _ids(self, collection: str) -> set[str]:
        return {found["_id"] for found in self.database[collection].find({}, {"_id": 1})}


@contextmanager
def opened(rows: Sequence[Row]) -> Iterator["Bench"]:
    """Run servers, with the environment of the other libraries."""
    subprocess.run(["make", "--silent", ".stack/bench/ready"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), free_ports(), no_programs) as stack:
        meter = cpu.Meter({name: cpu.group_of(stack.pid(name)) for name in ("rabbitmq", "mongo")})
        meter.settle()
        meter.rest(sizes.REST_SECONDS / 2)
        names = [row.name.removeprefix("losses-") for row in rows if row.name.startswith("losses-")]
        yield Bench(stack, meter, [library for library in LIBRARIES if library.name in names])


@dataclass
class Bench:
    """Running servers, and the libraries whose lost events are counted."""

    stack: Stack
    meter: cpu.Meter
    losing: list[Library]
    lost: dict[str, Counter[str]] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)


def handled(library: Library, bench: Bench) -> Measured:
    """Changes one after the other, as fast as one process makes them, until all have had their effect."""
    with ExitStack() as opened:
        peer = Peer(bench.stack, library, opened)
        _warm_up(peer)
        groups = {"producer": peer.producer.pid, "consumer": peer.consumer.pid}
        meter = cpu.Meter({**{name: cpu.group_of(bench.stack.pid(name)) for name in bench.meter.idle}, **groups})
        meter.idle |= bench.meter.idle
        used, began = meter.read(), time.perf_counter()
        peer.make("measured", sizes.CHANGES)
        wait_for(lambda: peer.effects("measured") == sizes.CHANGES, 60, "all effects")
        seconds = time.perf_counter() - began
        programs = {name: spent / sizes.CHANGES for name, spent in meter.since(used, seconds).items()}
        latencies = peer.latencies_ms("measured")
    figures = {"per_second": sizes.CHANGES / seconds, "cpu_ms": sum(programs.values()), **percentiles(latencies)}
    return Measured(figures, programs)


def _warm_up(peer: Peer) -> None:
    """Return once the worker works: an event that came before its queue was there may be lost."""
    tries = iter(range(1000))

    def works() -> bool:
        peer.make(f"warm-up-{next(tries)}", 20)
        time.sleep(0.2)
        return peer.effects() >= 20

    wait_for(works, 60, "the worker")


def losses(library: Library, bench: Bench) -> Measured:
    """Count changes without an effect after kills; all libraries run at the same time."""
    if not bench.lost and not bench.failed:
        _count_losses(bench)
    if library.name in bench.failed:
        raise bench.failed[library.name]
    return Measured(bench.lost[library.name])


def _count_losses(bench: Bench) -> None:
    with ExitStack() as opened:
        peers = {each.name: Peer(bench.stack, each, opened, WORK_SECONDS) for each in bench.losing}
        bench.lost |= {name: Counter(restarts_by_hand=0) for name in peers}

        def each(action: Callable[[Peer], None]) -> None:
            bench.failed.update(_at_once(action, peers))
            for name in peers.keys() & bench.failed:
                del peers[name]

        each(_warm_up)
        for kind in KINDS:
            each(Peer.begin_anew)
            if kind == "broker":
                each(partial(Peer.tell, prefix=kind, count=RATE * 3600, rate=RATE))
                for number in range(sizes.KILLS):
                    each(partial(_recover, prefix=f"{kind}-{number}", lost=bench.lost))
                    _kill_broker(bench.stack)
            else:
                each(partial(_kill_again, kind=kind, lost=bench.lost))
            each(Peer.drain)
            for name, peer in peers.items():
                bench.lost[name].update(peer.count(kind))


def _at_once(action: Callable[[Peer], None], peers: Mapping[str, Peer]) -> dict[str, Exception]:
    """Do the same with all libraries at the same time; return those for which it failed."""
    failed: dict[str, Exception] = {}

    def tried(name: str) -> None:
        try:
            action(peers[name])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is that library's
            failed[name] = error

    with ThreadPoolExecutor(len(peers) or 1) as pool:
        list(pool.map(tried, peers))
    return failed


def _kill_again(peer: Peer, kind: str, lost: Mapping[str, Counter[str]]) -> None:
    """Kill the producer, which makes changes as fast as it can, or the consumer, again and again."""
    for number in range(sizes.KILLS):
        prefix = f"{kind}-{number}"
        if kind == "producer":
            peer.tell(prefix, 1_000_000, 0.0)
        elif number == 0:
            peer.tell(prefix, RATE * 3600, RATE)
        _recover(peer, prefix, lost)
        time.sleep(random.uniform(*RUNNING_SECONDS))  # noqa: S311
        peer.kill(kind)
        peer.restart(kind)


def _recover(peer: Peer, prefix: str, lost: Mapping[str, Counter[str]]) -> None:
    """Return once the library works; restart it when that takes too long, and give up after MOST_RESTARTS."""
    restarts = 0
    while not peer.works_again(prefix):
        restarts += 1
        if restarts > MOST_RESTARTS:
            raise RuntimeError(f"{peer.name} does not recover")
        lost[peer.name]["restarts_by_hand"] += 1
        peer.begin(f"{prefix}-anew-{lost[peer.name]['restarts_by_hand']}")


def _kill_broker(stack: Stack) -> None:
    """Kill the broker, and wait until it is back."""
    time.sleep(random.uniform(*RUNNING_SECONDS))  # noqa: S311
    stack.kill("rabbitmq")
    password = stack.secrets["RABBITMQ_PASSWORD"]
    wait_for(lambda: rabbitmq_is_ready(stack.ports, password), RESTARTING_SECONDS, "RabbitMQ")


SUITE = Suite(
    "Events, compared with other libraries",
    "A change in MongoDB with its event, on RabbitMQ, and then an effect in MongoDB. CPU-ms are those of producer,"
    " consumer, RabbitMQ and MongoDB for one; latencies are from before a change to its effect, while changes are made"
    " as fast as one process makes them. FastStream, Celery and Dramatiq (requirements-bench.txt) run each"
    " with the settings that its documentation recommends against losses, and with its defaults (see dev/bench/peers)."
    f" `make bench ROWS=losses` kills producer, consumer and broker, {sizes.KILLS} times each, while changes are made:"
    ' "lost" are those whose effect never came, "effects of nothing" those of a change that was undone because'
    ' publishing its event seemed to fail, "restarts by hand" how often a library did not work again within'
    f" {RECOVERY_SECONDS} s.",
    [
        *(Row(f"handled-{each.name}", f"event handled: {each.what}", partial(handled, each)) for each in LIBRARIES),
        *(
            Row(f"losses-{each.name}", f"kills: {each.what}", partial(losses, each), rounds=1, named_only=True)
            for each in LIBRARIES
        ),
    ],
    opened,
)
