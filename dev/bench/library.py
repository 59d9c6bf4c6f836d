"""Our library compared with stock nameko: calls, events, the relay, and the lag of events."""

import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

from bson import Timestamp
from nameko.standalone.events import event_dispatcher
from nameko.standalone.rpc import ClusterRpcProxy

from dev.bench import cpu, load
from dev.bench.report import Row
from dev.stack import Stack, free_ports
from dev.stack.servers import answers
from dev.testing import nameko_service, new_database, new_vhost, wait_for
from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE, ExpirationComplete
from libs.database import connect
from libs.events import CHANGES_INDEX, OUTBOX_INDEX, Aggregates, Relay
from libs.events.anti_entropy import PAGE, AntiEntropy, Source, stale_in
from libs.rpc import Client

CALLS, THREADS = 3000, 8
EVENTS = 3000
LAG_RATE, LAG_SECONDS = 50, 10
ORDERS, CHANGED, COMPARISONS = (1_000, 100_000), 20, 200
STOCK_CONTAINER = "nameko.containers.ServiceContainer"
QUIET = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}


def measure(stack: Stack) -> Iterator[Row]:
    """Measure on the servers of `stack`; yield the rows of the report."""
    warnings.simplefilter("ignore")
    yield from rpc(stack)
    yield from http(stack)
    published, *others = events(stack)
    yield from (published, *others)
    with database(stack) as deadlines:
        yield from relay(stack, deadlines, published.stock)
        yield from lag(stack, deadlines)
    yield from comparing(stack)


def rpc(stack: Stack) -> list[Row]:
    """Calls from several threads, stock first."""
    with new_vhost(stack) as url, probe("Stock", url) as service:
        local = threading.local()

        def stock_call() -> None:
            if not hasattr(local, "proxy"):
                local.proxy = ClusterRpcProxy({"AMQP_URI": url}, timeout=10).start()
            assert local.proxy.orders.echo("x") == "x"

        stock, stock_cpu = costed(stack, service, lambda: load.run([stock_call] * CALLS, THREADS))
    with new_vhost(stack) as url, probe("Ours", url) as service:
        client = Client(url, "gateway")
        client.call("orders", "echo", {"value": "x"})

        def our_call() -> None:
            assert client.call("orders", "echo", {"value": "x"}) == "x"

        ours, our_cpu = costed(stack, service, lambda: load.run([our_call] * CALLS, THREADS))
        client.close()
    return [
        Row("RPC calls", "a second", ours.per_second, stock.per_second),
        Row("RPC call", "CPU-ms", our_cpu / CALLS, stock_cpu / CALLS, aim="≤ 0.8"),
        Row("RPC call, p99", "ms", ours.percentile(99), stock.percentile(99)),
    ]


def http(stack: Stack) -> list[Row]:
    """Requests to a web application in gunicorn that makes one call for each, stock first."""
    results = {}
    for name in ("Stock", "Ours"):
        with new_vhost(stack) as url, probe(name, url) as service, web(name.lower(), url) as (address, server):
            browsers = threading.local()

            def request(address: str = address, browsers: Any = browsers) -> None:
                if not hasattr(browsers, "own"):
                    browsers.own = load.Browser(address)
                browsers.own.send("GET", "/", is_json=False)

            load.run([request] * THREADS, THREADS)
            before = cpu.milliseconds(cpu.group_of(stack.pid("rabbitmq")), server) + cpu.of_process(service.pid)
            result = load.run([request] * CALLS, THREADS)
            after = cpu.milliseconds(cpu.group_of(stack.pid("rabbitmq")), server) + cpu.of_process(service.pid)
            results[name] = (result.per_second, (after - before) / CALLS)
    (stock, stock_cpu), (ours, our_cpu) = results["Stock"], results["Ours"]
    return [
        Row("HTTP → RPC → reply through gunicorn", "a second", ours, stock),
        Row("HTTP → RPC → reply through gunicorn", "CPU-ms", our_cpu, stock_cpu),
    ]


@contextmanager
def web(application: str, url: str) -> Iterator[tuple[str, int]]:
    """Run an application of dev.bench.web in gunicorn; yield its address and process group."""
    port = free_ports().gateway
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", str(THREADS)]
    command += ["--bind", f"127.0.0.1:{port}", "--log-level", "warning", f"dev.bench.web:{application}()"]
    environment = {**os.environ, "BENCH_AMQP_URL": url, "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(command, env=environment, start_new_session=True) as server:
        try:
            wait_for(lambda: answers(port), 20, "gunicorn")
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            server.terminate()


def events(stack: Stack) -> list[Row]:
    """Events published and handled, stock first: one by one with its dispatcher, in batches with our publisher."""
    with new_vhost(stack) as url, probe("Stock", url) as service:
        dispatch = event_dispatcher({"AMQP_URI": url})

        def stock() -> float:
            began = time.perf_counter()
            for number in range(EVENTS):
                dispatch("expiration", "ExpirationComplete", body(number))
            published = time.perf_counter() - began
            await_handled(url, EVENTS)
            return published

        began = time.perf_counter()
        stock_published, stock_cpu = costed(stack, service, stock)
        stock_handled = time.perf_counter() - began
    with new_vhost(stack) as url, probe("Ours", url) as service:
        publisher = Publisher(url, declare=CATALOGUE.declare)
        publisher.publish([])

        def ours() -> float:
            began = time.perf_counter()
            for start in range(0, EVENTS, 100):
                assert publisher.publish([message(number) for number in range(start, start + 100)]) == {}
            published = time.perf_counter() - began
            await_handled(url, EVENTS)
            return published

        began = time.perf_counter()
        our_published, our_cpu = costed(stack, service, ours)
        our_handled = time.perf_counter() - began
        publisher.close()
    what = "events published with confirms"
    return [
        Row(f"{what}, ours in batches of 100", "a second", EVENTS / our_published, EVENTS / stock_published, "≥ 3 000"),
        Row("events published and handled", "a second", EVENTS / our_handled, EVENTS / stock_handled),
        Row("event, from publishing to handled", "CPU-ms", our_cpu / EVENTS, stock_cpu / EVENTS),
    ]


def relay(stack: Stack, deadlines: Aggregates, stock: float | None) -> list[Row]:
    """Emptying the outboxes of many documents, compared with stock's dispatcher, which only publishes."""
    for number in range(EVENTS):
        deadlines.add(body(number), ExpirationComplete, body(number))
    with new_vhost(stack) as url:
        publisher = Publisher(url, declare=CATALOGUE.declare)
        publisher.publish([])
        began = time.perf_counter()
        assert Relay(publisher, [deadlines]).flush() == EVENTS
        seconds = time.perf_counter() - began
        publisher.close()
    return [Row("outboxes emptied by the relay", "events a second", EVENTS / seconds, stock, "≥ 3 000")]


def lag(stack: Stack, deadlines: Aggregates) -> list[Row]:
    """How old an event is in its handler, at a steady rate: since it was saved, with stock since it was dispatched."""
    with new_vhost(stack) as url, probe("Stock", url):
        dispatch = event_dispatcher({"AMQP_URI": url})
        stock = at_a_steady_rate(url, lambda number: dispatch("expiration", "ExpirationComplete", body(number)))
    with new_vhost(stack) as url, probe("Ours", url):
        publisher = Publisher(url, declare=CATALOGUE.declare)
        publisher.publish([])
        relay = Relay(publisher, [deadlines])
        deadlines.saved = relay.wake
        thread = threading.Thread(target=relay.run)
        thread.start()

        def save(number: int) -> None:
            fields = body(f"lag-{number}")
            deadlines.add(fields, ExpirationComplete, fields)

        ours = at_a_steady_rate(url, save)
        relay.stop()
        thread.join()
        publisher.close()
    what = f"event lag at {LAG_RATE}/s"
    return [
        Row(f"{what}, p50 (stock: without an outbox)", "ms", ours.percentile(50), stock.percentile(50)),
        Row(f"{what}, p99 (stock: without an outbox)", "ms", ours.percentile(99), stock.percentile(99), "≤ 100"),
    ]


def comparing(stack: Stack) -> list[Row]:
    """What a run of anti-entropy costs when few orders have changed, whatever the number of those that have ended.

    The runs among few orders and among many alternate, so that the machine is the same for both.
    """
    with ExitStack() as opened:
        runs = [opened.enter_context(comparison(stack, count)) for count in ORDERS]
        results = [[load.run([run], 1).latencies_ms[0] for run in runs] for _ in range(COMPARISONS)]
    few, many = map(median, zip(*results, strict=True))
    return [
        Row(f"comparing copies, {CHANGED} changes, {ORDERS[1]} finished orders", "ms", many),
        Row(f"its cost from {ORDERS[0]} to {ORDERS[1]} finished orders", "times", many / few, aim="≤ 1.3"),
    ]


@contextmanager
def comparison(stack: Stack, count: int) -> Iterator[Callable[[], None]]:
    """Yield what makes a run beside so many finished orders, without the calls to their service."""
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


def at_a_steady_rate(url: str, send: Callable[[int], Any]) -> load.Result:
    """Send LAG_RATE events a second, by number, for LAG_SECONDS; return how old each was when it was handled."""
    began = time.perf_counter()
    for number in range(LAG_RATE * LAG_SECONDS):
        time.sleep(max(0.0, began + number / LAG_RATE - time.perf_counter()))
        send(number)
    return load.Result(LAG_RATE, sorted(await_handled(url, LAG_RATE * LAG_SECONDS)))


def costed(stack: Stack, service: Any, work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of `work` and the CPU-milliseconds of this process, the service and the broker."""
    groups = cpu.group_of(stack.pid("rabbitmq")), service.pid
    before = cpu.milliseconds(groups[0]) + cpu.of_process(groups[1]) + time.process_time() * 1000
    result = work()
    return result, cpu.milliseconds(groups[0]) + cpu.of_process(groups[1]) + time.process_time() * 1000 - before


def await_handled(url: str, count: int) -> list[float]:
    """Wait until the probe has handled `count` events; return how many milliseconds old each was."""
    client = Client(url, "gateway")
    try:
        lags: list[float] = wait_for(
            lambda: handled if len(handled := client.call("orders", "lags")) >= count else None, 60, "events"
        )
        return lags
    finally:
        client.close()


def probe(name: str, url: str) -> Any:
    """Return the service `name` of dev.bench.probes, as a process."""
    container = {"SERVICE_CONTAINER_CLS": STOCK_CONTAINER} if name == "Stock" else {}
    return nameko_service(f"dev.bench.probes:{name}", "rpc-orders", AMQP_URI=url, LOGGING=QUIET, **container)


@contextmanager
def database(stack: Stack) -> Iterator[Aggregates]:
    """Yield an empty collection of aggregates."""
    with new_database(stack) as url:
        deadlines = Aggregates(connect(url).deadlines)
        deadlines.collection.create_indexes([OUTBOX_INDEX])
        yield deadlines


def body(number: Any) -> dict[str, Any]:
    """Return an event's body that says when it was made."""
    moment = "2026-11-22T12:00:00.000Z"
    return {"id": f"o{number}", "version": 1, "order_id": repr(time.time()), "expires_at": moment}


def message(number: int) -> Outgoing:
    """Return an event as our publisher takes it."""
    return Outgoing("expiration.events", "ExpirationComplete", json.dumps(body(number)).encode(), {"version": 1})
