"""Shared by tests of services: a service as a process of its own, and waiting for a condition instead of sleeping."""

import ast
import fcntl
import gc
import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any

import requests
from amqp.exceptions import NotFound
from kombu import Connection
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database

from dev.fork_server import Service
from dev.stack import Stack, install
from libs.rpc.topology import declare_rpc_exchange

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder with an unguessable name is made in it
ROOM = 4 * 2**30  # bytes; a whole system needs a tenth of it
PROFILE_BYTES = 2**28  # at most, or the first commands would be forgotten
LONGEST_PAUSE = 0.1  # seconds between two looks at a condition
REDIS_DATABASES = range(1, 1024)  # 0 is the default of clients


def wait_for(
    condition: Callable[[], Any], seconds: float = 10.0, what: str = "", longest_pause: float = LONGEST_PAUSE
) -> Any:
    """Return the first true value of `condition()`; raise AssertionError when there is none within `seconds`.

    `longest_pause`: seconds between two looks, once some were in vain.
    """
    deadline, pause = time.monotonic() + seconds, 0.01
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out after {seconds} s waiting for {what or condition}")
        time.sleep(pause)
        pause = min(1.3 * pause, longest_pause)  # most conditions cost a query
    return value


def consumers(amqp_url: str, queue: str) -> int:
    """Return the number of consumers of a queue; 0 when the queue does not exist."""
    return _declared(amqp_url, queue)[1]


def queue_length(amqp_url: str, queue: str) -> int:
    """Return the number of ready messages in a queue; 0 when the queue does not exist."""
    return _declared(amqp_url, queue)[0]


@contextmanager
def repeating(actions: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Repeat each action in a thread of its own while the block runs, and let it finish; raise the error of any."""
    stopping = threading.Event()

    def repeat(action: Callable[[], object]) -> None:
        while not stopping.is_set():
            action()

    with ThreadPoolExecutor(len(actions)) as pool:
        repeated = [pool.submit(repeat, action) for action in actions]
        try:
            yield
        finally:
            stopping.set()
    for each in repeated:
        each.result()


def new_stack_folder() -> Path:
    """Make a folder for a stack, with a path short enough for its socket; in memory when there is room for it."""
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    return Path(mkdtemp(prefix="ticketing-", dir=MEMORY if has_room else None))


@cache
def syntax_nodes(path: Path) -> list[ast.AST]:
    """Return the nodes of a Python file's syntax tree.

    Before Python 3.11.8 a parse fails if another thread parses, too, meanwhile, which only garbage collection makes
    room for (https://github.com/python/cpython/issues/106905).
    """
    gc.disable()
    try:
        tree = ast.parse(path.read_text())
    finally:
        gc.enable()
    return list(ast.walk(tree))


@contextmanager
def stack_folder() -> Iterator[Path]:
    """Yield a new folder for a stack, and remove it when the block ends."""
    folder = new_stack_folder()
    yield folder
    shutil.rmtree(folder)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that is signed by itself in `folder`; return its file and that of its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *name, "-keyout", key, "-out", certificate)
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@contextmanager
def own_redis_database(servers: Stack) -> Iterator[str]:
    """Yield the address of a Redis database that no other process uses while the block runs."""
    for number in REDIS_DATABASES:
        with (servers.folder / f"redis-{number}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"{servers.redis_url}{number}"
            return
    raise AssertionError("every Redis database is in use")


def metric(port: int, name: str, **labels: str) -> float:
    """Return the sum of the samples `name` with these labels that a process shows on its metrics port."""
    shown = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    samples = (sample for family in text_string_to_metric_families(shown) for sample in family.samples)
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of an HTTP proxy, which answers 503, and what it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(503)

        do_PUT = do_POST = do_CONNECT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@contextmanager
def new_vhost(servers: Stack) -> Iterator[str]:
    """Yield the address of a new RabbitMQ vhost, with the exchange of calls; it is deleted when the block ends."""
    vhost = f"test-{secrets.token_hex(6)}"
    servers.management("PUT", f"/api/vhosts/{vhost}")
    with Connection(servers.amqp_url_of(vhost)) as connection:
        declare_rpc_exchange(connection.default_channel)
    yield servers.amqp_url_of(vhost)
    servers.management("DELETE", f"/api/vhosts/{vhost}")


@contextmanager
def new_database(servers: Stack) -> Iterator[str]:
    """Yield the address of a new MongoDB database, which is dropped when the block ends."""
    name = f"test_{secrets.token_hex(6)}"
    yield servers.mongo_url(name)
    with MongoClient[dict[str, Any]](servers.mongo_url(name)) as client:
        client.drop_database(name)


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Run Chromium while the block runs."""
    from playwright.sync_api import sync_playwright  # costs a quarter of a second, which most tests do not need

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=install.chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def commands_on(database: Database[Any]) -> Iterator[list[dict[str, Any]]]:
    """Yield a list that has, once the block has ended, mongod's profile of each command on a database meanwhile."""
    noted: list[dict[str, Any]] = []
    database["system.profile"].drop()
    database.create_collection("system.profile", capped=True, size=PROFILE_BYTES)
    database.command("profile", 2)
    try:
        yield noted
    finally:
        database.command("profile", 0)
    of_others = {"$nin": [f"{database.name}.system.profile", f"{database.name}.$cmd"]}
    # the driver closes cursors that were not read to their end when it has time, those of earlier tests too
    asked = {"ns": of_others, "command.killCursors": {"$exists": False}}
    noted += database["system.profile"].find(asked).sort("ts")


@contextmanager
def failing_commands(collection: Collection[Any], *commands: str, skip: int = 0, **fault: Any) -> Iterator[None]:
    """Make mongod fail these commands on a collection while the block runs, except the first `skip` of them.

    `fault`: errorCode, writeConcernError or closeConnection. A mongod has one such fail point, for all its clients.
    """
    data = {"failCommands": commands, "namespace": collection.full_name, **fault}
    address, user = collection.database.client.address, collection.database.client.options.pool_options._credentials
    assert address is not None and user is not None
    credentials = {"username": user.username, "password": user.password, "authSource": user.source}
    with MongoClient[dict[str, Any]](*address, directConnection=True, **credentials) as client:
        client.admin.command(
            "configureFailPoint", "failCommand", mode={"skip": skip} if skip else "alwaysOn", data=data
        )
        try:
            yield
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")


@contextmanager
def nameko_service(module: str, queue: str, **config: Any) -> Iterator[Service]:
    """Run the service `package.module:Class` as a process while the block runs; ready once it consumes `queue`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yml"
        path.write_text(json.dumps({"SERVICE_CONTAINER_CLS": "libs.amqp.container.Container", **config}))
        before = consumers(config["AMQP_URI"], queue)
        process = Service([str(path), module], os.environ)
        try:
            with Connection(config["AMQP_URI"], connect_timeout=3) as broker:
                wait_for(lambda: _counts(broker, queue)[1] > before or process.poll() is not None, 20, module)
            # 137: it has already been killed at its crash point (payments/crash_points.py)
            assert process.poll() in (None, 137), f"{module} ended by itself"
            yield process
        finally:
            process.kill()
            process.wait(10)
            with suppress(OSError, AssertionError):  # a broker in trouble may not notice
                wait_for(lambda: consumers(config["AMQP_URI"], queue) <= before, 2)  # the next one is counted from here


def _declared(amqp_url: str, queue: str) -> tuple[int, int]:
    with Connection(amqp_url, connect_timeout=3) as connection:
        return _counts(connection, queue)


def _counts(connection: Connection, queue: str) -> tuple[int, int]:
    try:
        with connection.channel() as channel:
            declared = channel.queue_declare(queue, passive=True)
    except NotFound:
        return 0, 0
    return declared.message_count, declared.consumer_count
