"""Events on our library and on others: what one costs from change to effect, and how many are lost to kills."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
from dev.testing import ROOT, new_database, new_vhost, wait_for

ENVIRONMENT = ROOT / ".stack" / "bench"
NAMEKO = [os.path.join(sys.prefix, "bin", "nameko"), "run", "--config"]
QUIET = {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR"}}
KINDS = ("producer", "consumer", "broker")
RATE, WORK_SECONDS = 50, 0.01
"""While consumers or the broker are killed: changes a second, and how long a handler works before its effect."""
RUNNING_SECONDS = (0.5, 1.5)
"""How long all runs between two kills."""
RECONNECTING_SECONDS = 5.0
"""How much longer it runs after a kill of the broker, so that each library is connected again."""
RESTARTING_SECONDS = 600
"""How long a killed broker may take to be back, beside all that tries to reach it again."""
BROKER_SECONDS = 1200
"""After how long it is killed no more: where a restart takes long, it is killed less often than the others."""
STOP_SECONDS = 15
DRAIN_SECONDS = 10
"""After how long without a new effect those that are missing count as lost."""


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
        self._library = library
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
        """Stop one of the two as its manager would, which kills only what does not stop."""
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
        """Start again whichever has ended, as whatever runs them would, with changes of this prefix."""
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
        """Return how many changes, of those with such ids, have had their effect."""
        return int(self.database.effects.count_documents({"_id": {"$regex": f"^{prefix}"}}))

    def latencies_ms(self, prefix: str) -> list[float]:
        """Return how long after each change, of those with such ids, its effect came."""
        changed, had = (self._moments(collection, prefix) for collection in ("changes", "effects"))
        return [(had[ident] - at) * 1000 for ident, at in changed.items()]

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
        """Return how many changes were made and lost, and effects had of none; begin anew."""
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
    """Running servers, and the libraries of which is counted what they lose."""

    stack: Stack
    meter: cpu.Meter
    losing: list[Library]
    lost: dict[str, Counter[str]] = field(default_factory=dict)
    has_tried: bool = False


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

    wait_for(works, 30, "the worker")


def losses(library: Library, bench: Bench) -> Measured:
    """Count changes without an effect after kills; those of all libraries are made at once, beside each other."""
    if not bench.has_tried:
        bench.has_tried = True
        bench.lost = _count_losses(bench)
    assert library.name in bench.lost, "nothing was counted"
    return Measured(bench.lost[library.name])


def _count_losses(bench: Bench) -> dict[str, Counter[str]]:
    with ExitStack() as opened:
        peers = {each.name: Peer(bench.stack, each, opened, WORK_SECONDS) for each in bench.losing}
        lost: dict[str, Counter[str]] = {name: Counter() for name in peers}
        for peer in peers.values():
            _warm_up(peer)
            peer.begin_anew()
        for kind in KINDS:
            if kind == "broker":
                kills = _kill_broker(bench.stack, list(peers.values()))
                for each in lost.values():
                    each["kills_of_broker"] = kills
            else:
                _at_once([partial(_kill_again, peer, kind) for peer in peers.values()])
            _at_once([peer.drain for peer in peers.values()])
            for name, peer in peers.items():
                for what, number in peer.count(kind).items():
                    lost[name][what] += number
    return lost


def _at_once(actions: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _kill_again(peer: Peer, kind: str) -> None:
    """Kill the producer, in the middle of changes, or the consumer, again and again."""
    rate = RATE if kind == "consumer" else 0.0
    if kind == "consumer":
        peer.tell(kind, RATE * 3600, rate)
    for number in range(sizes.KILLS):
        if kind == "producer":
            peer.tell(f"{kind}-{number}", 1_000_000, rate)
        time.sleep(random.uniform(*RUNNING_SECONDS) * (0.3 if kind == "producer" else 1))  # noqa: S311
        peer.kill(kind)
        peer.restart(kind)


def _kill_broker(stack: Stack, peers: Sequence[Peer]) -> int:
    """Kill the broker again and again, and wait until it is back, but not for all too long; return how often."""
    for peer in peers:
        peer.tell("broker", RATE * 3600, RATE)
    until = time.monotonic() + BROKER_SECONDS
    for number in range(sizes.KILLS):
        if time.monotonic() > until:
            return number
        for peer in peers:
            peer.keep(f"broker-{number}")
        time.sleep(random.uniform(*RUNNING_SECONDS) + RECONNECTING_SECONDS)  # noqa: S311
        stack.kill("rabbitmq")
        wait_for(
            lambda: rabbitmq_is_ready(stack.ports, stack.secrets["RABBITMQ_PASSWORD"]), RESTARTING_SECONDS, "RabbitMQ"
        )
    return sizes.KILLS


SUITE = Suite(
    "Events beside other libraries",
    "A change in MongoDB with its event, on RabbitMQ, and then an effect in MongoDB. CPU-ms are those of producer,"
    " consumer, RabbitMQ and MongoDB for one; latencies are from before a change to its effect, while changes are made"
    " as fast as one process makes them. FastStream, Celery and Dramatiq (requirements-bench.txt) run each"
    " with the settings that its documentation recommends against losses, and with its defaults (see dev/bench/peers)."
    f" `make bench ROWS=losses` kills producer, consumer and broker, {sizes.KILLS} times each, while changes are made:"
    ' "lost" are those whose effect never came, "effects of nothing" those of a change that was undone because'
    " publishing its event seemed to fail.",
    [
        *(Row(f"handled-{each.name}", f"event handled: {each.what}", partial(handled, each)) for each in LIBRARIES),
        *(
            Row(f"losses-{each.name}", f"kills: {each.what}", partial(losses, each), rounds=1, named_only=True)
            for each in LIBRARIES
        ),
    ],
    opened,
)
