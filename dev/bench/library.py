"""Our library and stock nameko: calls, requests that make a call, events, their lag, the relay, anti-entropy."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bson import Timestamp
from kombu import Connection
from nameko.standalone.events import event_dispatcher
from nameko.standalone.rpc import ClusterRpcProxy

from dev.bench import cpu, sizes
from dev.bench.load import Load, Stream, asking, in_threads, percentile, request
from dev.bench.rows import Measured, Row, Suite
from dev.stack import Stack, free_ports
from dev.stack.ports import HOST
from dev.stack.programs import no_programs
from dev.stack.servers import answers
from dev.testing import nameko_service, new_database, new_vhost, wait_for
from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE, ExpirationComplete
from libs.database import connect
from libs.events import CHANGES_INDEX, OUTBOX_INDEX, Aggregates, Relay
from libs.events.anti_entropy import PAGE, AntiEntropy, Source, stale_in
from libs.rpc import Client

THREADS, LAG_RATE = 8, 50
ORDERS, CHANGED = (1_000, 100_000), 20
STOCK_CONTAINER = "nameko.containers.ServiceContainer"
QUIET = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}


class Servers:
    """Running servers, and their use at rest."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.meter = cpu.Meter({name: cpu.group_of(stack.pid(name)) for name in stack.programs})
        self.meter.settle()
        self.meter.rest(sizes.REST_SECONDS)

    def measure(self, service: Any, count: int, work: Callable[[], Any], caller: int = 0) -> tuple[Any, Measured]:
        """Return the result of `work`, and its rate and CPU-ms for each of `count` operations, by program.

        `caller`: the process group of the caller, when that is not this process.
        """
        before, began = self.meter.read(), time.perf_counter()
        own, its = _used_by_caller(caller), cpu.of_process(service.pid)
        result = work()
        seconds = time.perf_counter() - began
        used = {
            "caller": _used_by_caller(caller) - own,
            "service": cpu.of_process(service.pid) - its,
            **self.meter.since(before, seconds),
        }
        programs = {name: spent / count for name, spent in used.items()}
        return result, Measured({"per_second": count / seconds, "cpu_ms": sum(programs.values())}, programs)


def _used_by_caller(group: int) -> float:
    return cpu.milliseconds(group) if group else time.process_time() * 1000


@contextmanager
def opened(rows: Sequence[Row]) -> Iterator[Servers]:
    """Run servers without our programs."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), free_ports(), no_programs) as stack:
        yield Servers(stack)


def at_rest(servers: Servers) -> Measured:
    """The servers' use when nothing is connected to them."""
    idle = servers.meter.idle
    return Measured({"servers_idle_ms_a_second": sum(idle.values())}, idle)


def our_calls(servers: Servers) -> Measured:
    """Calls with our client, one for all threads."""
    with new_vhost(servers.stack) as url, probe("Ours", url) as service:
        client = Client(url, "gateway")

        def call() -> None:
            assert client.call("orders", "echo", {"value": "x"}) == "x"

        measured = _calls(servers, service, call)
        client.close()
    return measured


def stock_calls(servers: Servers) -> Measured:
    """Calls with nameko's standalone proxies, one kept open by each thread."""
    with new_vhost(servers.stack) as url, probe("Stock", url) as service:
        local = threading.local()

        def call() -> None:
            if not hasattr(local, "proxy"):
                local.proxy = ClusterRpcProxy({"AMQP_URI": url}, timeout=10).start()
            assert local.proxy.orders.echo("x") == "x"

        return _calls(servers, service, call)


def _calls(servers: Servers, service: Any, call: Callable[[], None]) -> Measured:
    call()
    actions = [call] * sizes.CALLS
    (_, latencies), measured = servers.measure(service, sizes.CALLS, lambda: in_threads(actions, THREADS))
    return Measured({**measured.figures, **_percentiles(latencies)}, measured.programs)


def requests(name: str, servers: Servers) -> Measured:
    """Requests to a web application in gunicorn that makes one call for each."""
    with new_vhost(servers.stack) as url, probe(name, url) as service, web(name.lower(), url) as (port, server):

        def stream(count: int) -> Stream:
            return Stream((asking(request("GET", "/")) for _ in range(count)), connections=THREADS)

        Load(HOST, port).run(stream(2 * THREADS))
        all_of_them = stream(sizes.CALLS)
        _, measured = servers.measure(service, sizes.CALLS, lambda: Load(HOST, port).run(all_of_them), server)
    return Measured({**measured.figures, **_percentiles(all_of_them.latencies_ms)}, measured.programs)


@contextmanager
def web(application: str, url: str) -> Iterator[tuple[int, int]]:
    """Run an application of dev.bench.web in gunicorn; yield its port and process group."""
    port = free_ports().gateway
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", str(THREADS)]
    command += ["--bind", f"{HOST}:{port}", "--log-level", "warning", f"dev.bench.web:{application}()"]
    environment = {**os.environ, "BENCH_AMQP_URL": url, "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(command, env=environment, start_new_session=True) as server:
        try:
            wait_for(lambda: answers(port), 20, "gunicorn")
            yield port, server.pid
        finally:
            server.terminate()


def our_events(servers: Servers) -> Measured:
    """Events published with confirms in batches of 100 by our publisher, and handled."""
    with new_vhost(servers.stack) as url, probe("Ours", url) as service:
        publisher = Publisher(url, declare=CATALOGUE.declare)
        publisher.publish([])

        def publish() -> None:
            for start in range(0, sizes.EVENTS, 100):
                assert publisher.publish([message(number) for number in range(start, start + 100)]) == {}

        measured = _events(servers, service, url, publish)
        publisher.close()
    return measured


def stock_events(servers: Servers) -> Measured:
    """Events published with confirms one by one, as its dispatcher does it, and handled."""
    with new_vhost(servers.stack) as url, probe("Stock", url) as service:
        dispatch = event_dispatcher({"AMQP_URI": url})

        def publish() -> None:
            for number in range(sizes.EVENTS):
                dispatch("expiration", "ExpirationComplete", body(number))

        return _events(servers, service, url, publish)


def _events(servers: Servers, service: Any, url: str, publish: Callable[[], None]) -> Measured:
    with asking_probe(url) as client:

        def publish_and_wait() -> float:
            began = time.perf_counter()
            publish()
            published = time.perf_counter() - began
            await_handled(client, sizes.EVENTS)
            return published

        seconds, measured = servers.measure(service, sizes.EVENTS, publish_and_wait)
    return Measured({**measured.figures, "published_per_second": sizes.EVENTS / seconds}, measured.programs)


def relay(servers: Servers) -> Measured:
    """Emptying the outboxes of many documents."""
    with database(servers.stack) as deadlines, new_vhost(servers.stack) as url:
        for number in range(sizes.EVENTS):
            deadlines.add(body(number), ExpirationComplete, body(number))
        publisher = Publisher(url, declare=CATALOGUE.declare)
        publisher.publish([])
        began = time.perf_counter()
        assert Relay(publisher, [deadlines]).flush() == sizes.EVENTS
        seconds = time.perf_counter() - began
        publisher.close()
    return Measured({"per_second": sizes.EVENTS / seconds})


def our_lag(servers: Servers) -> Measured:
    """The age of an event in its handler, since it was saved with its outbox."""
    with database(servers.stack) as deadlines, new_vhost(servers.stack) as url, probe("Ours", url):
        publisher = Publisher(url, declare=CATALOGUE.declare)
        publisher.publish([])
        relay = Relay(publisher, [deadlines])
        relay.attach()
        thread = threading.Thread(target=relay.run)
        thread.start()

        def save(number: int) -> None:
            fields = body(f"lag-{number}")
            deadlines.add(fields, ExpirationComplete, fields)

        measured = at_a_steady_rate(url, save)
        relay.stop()
        thread.join()
        publisher.close()
    return measured


def stock_lag(servers: Servers) -> Measured:
    """The age of an event in its handler, since it was dispatched, without an outbox."""
    with new_vhost(servers.stack) as url, probe("Stock", url):
        dispatch = event_dispatcher({"AMQP_URI": url})
        return at_a_steady_rate(url, lambda number: dispatch("expiration", "ExpirationComplete", body(number)))


def comparing(servers: Servers) -> Measured:
    """The cost of a run of anti-entropy when few orders have changed, whatever the number of ended ones.

    The runs among few orders and among many alternate, so that the machine is the same for both.
    """
    with ExitStack() as opened:
        runs = [opened.enter_context(comparison(servers.stack, count)) for count in ORDERS]
        results = [[in_threads([run], 1)[1][0] for run in runs] for _ in range(sizes.COMPARISONS)]
    few, many = map(median, zip(*results, strict=True))
    return Measured({"p50_ms": many, "times": many / few})


@contextmanager
def comparison(stack: Stack, count: int) -> Iterator[Callable[[], None]]:
    """Yield a function that makes a run with so many finished orders, without the calls to their service."""
    with new_database(stack) as url:
        database = connect(url)
        orders, copies = Aggregates(database.orders), database.copies
        orders.collection.create_indexes([CHANGES_INDEX])
        for start in range(0, count, 10_000):
            documents = [
                {"_id": f"o{number:06}", "version": 1, "changed_at": Timestamp(2 if number < CHANGED else 1, number)}
                for number in range(start, min(start + 10_000, count))
            ]
            orders.collection.insert_many(documents)
            copies.insert_many(documents)
        source = Source(
            database,
            lambda after: orders.versions(after, PAGE),
            lambda after: orders.changes(after, PAGE),
            stale_in(copies),
            lambda idents: [],
            lambda snapshot: None,
        )
        all_but_the_changes = {"position": [1, 2**31], "due_at": None}

        def run() -> None:
            database.comparisons.update_one({"_id": "bench"}, {"$set": all_but_the_changes}, upsert=True)
            AntiEntropy("bench").run(source)

        yield run
        database.client.close()


def at_a_steady_rate(url: str, send: Callable[[int], Any]) -> Measured:
    """Send LAG_RATE events a second, by number, and measure how old each was when it was handled."""
    count = LAG_RATE * sizes.LAG_SECONDS
    with asking_probe(url) as client:
        began = time.perf_counter()
        for number in range(count):
            time.sleep(max(0.0, began + number / LAG_RATE - time.perf_counter()))
            send(number)
        await_handled(client, count)
        return Measured(_percentiles(client.call("orders", "lags")))


@contextmanager
def asking_probe(url: str) -> Iterator[Client]:
    """Yield a client that is connected to the probe."""
    client = Client(url, "gateway")
    client.call("orders", "handled")
    yield client
    client.close()


def await_handled(client: Client, count: int) -> None:
    """Wait until the probe has handled `count` events."""
    wait_for(lambda: client.call("orders", "handled") >= count, 60, "events")


def probe(name: str, url: str) -> Any:
    """Return the service `name` of dev.bench.probes, as a process, with the exchanges and queues of its events."""
    container = {"SERVICE_CONTAINER_CLS": STOCK_CONTAINER} if name == "Stock" else {}
    if name == "Ours":
        with Connection(url) as connection:
            CATALOGUE.declare(connection.default_channel)
    return nameko_service(f"dev.bench.probes:{name}", "rpc-orders", AMQP_URI=url, LOGGING=QUIET, **container)


@contextmanager
def database(stack: Stack) -> Iterator[Aggregates]:
    """Yield an empty collection with an outbox."""
    with new_database(stack) as url:
        connection = connect(url)
        deadlines = Aggregates(connection.deadlines)
        deadlines.collection.create_indexes([OUTBOX_INDEX])
        yield deadlines
        connection.client.close()


def body(number: Any) -> dict[str, Any]:
    """Return an event's body with the time at which it was made."""
    moment = "2026-11-22T12:00:00.000Z"
    return {"id": f"o{number}", "version": 1, "order_id": repr(time.time()), "expires_at": moment}


def message(number: int) -> Outgoing:
    """Return an event in our publisher's form."""
    return Outgoing("expiration.events", "ExpirationComplete", json.dumps(body(number)).encode(), {"version": 1})


def _percentiles(latencies: Sequence[float]) -> dict[str, float]:
    return {f"p{percent}_ms": percentile(latencies, percent) for percent in (50, 95, 99)}


SUITE = Suite(
    "Our library, compared with stock nameko",
    "The same few lines as a service on each. CPU-ms are those of caller, service and broker.",
    [
        Row("servers-at-rest", "the servers alone", at_rest, rounds=1),
        Row("rpc-ours", "RPC call", our_calls, {"cpu_ms": 0.8}),
        Row("rpc-nameko", "the same with stock nameko", stock_calls),
        Row("http-ours", "request to gunicorn that makes a call", partial(requests, "Ours")),
        Row("http-nameko", "the same with stock nameko", partial(requests, "Stock")),
        Row("events-ours", "event published in a batch of 100 and handled", our_events, {"published_per_second": 3000}),
        Row("events-nameko", "event published with stock nameko, one by one, and handled", stock_events),
        Row("relay", "outboxes emptied by the relay", relay, {"per_second": 3000}),
        Row("lag-ours", "event at 50/s, from its outbox to its handler", our_lag, {"p50_ms": 5, "p99_ms": 20}),
        Row("lag-nameko", "the same with stock nameko, which has no outbox", stock_lag),
        Row(
            "anti-entropy",
            "comparing copies, 20 changes, from 1 000 to 100 000 finished orders",
            comparing,
            {"times": 1.1},
            rounds=1,
        ),
    ],
    opened,
)
