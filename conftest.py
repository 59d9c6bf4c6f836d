"""Fixtures for every test that needs real servers, or the whole system; pytest itself starts without any.

A test that asks for one of them is marked `integration` automatically, and one that asks for `system` `e2e` too.
TICKETING_TEST_SERVERS=FOLDER makes the tests use the servers that already run in FOLDER
(`python -m dev.stack --folder FOLDER servers` starts them), which saves their start on every run.

With `-n 4` four processes run the tests, on the same servers. The tests of a file stay in one process, for which alone
their fixtures and caches are made; those of the protocol, which need none, are shared out. The whole system is started
twice, side by side: for the tests of tests/e2e, and for the others that need it.
"""

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
import pytest
import redis
from pymongo.database import Database

from dev import testing
from dev.shared_servers import SharedServers
from dev.stack import Stack, StackError, free_ports

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from dev.collector import Collector

NEEDS_SERVERS = {
    *("servers", "stack_folder", "amqp_url", "mongo_url", "mongo", "redis_database", "redis_url", "system"),
    "browser",  # which is not in Python's packages either
    *("gunicorn", "_fake"),  # the gateway and the fake Stripe, in processes of their own
}
SETTINGS = {
    **dict.fromkeys(("UNPAID_RESERVATIONS_PER_BUYER", "UNPAID_RESERVATIONS_PER_HOUR"), "1000"),  # few for many tests
    "BROKER_VERIFY_SECONDS": "5",
}
"""Those of the whole system that all tests share."""
RUNNING = os.environ.get("TICKETING_TEST_SERVERS")
SHARED = pytest.StashKey[SharedServers]()
SHARED_OUT = "tests/protocol/"
SYSTEM = pytest.StashKey[tuple[pytest.FixtureDef[Any], pytest.FixtureRequest]]()
FOLDER = "ticketing_servers"  # what pytest-xdist's controller passes to its worker processes


def pytest_configure(config: pytest.Config) -> None:
    """Keep the servers of this run at least as long as this process, and collect garbage less often."""
    gc.set_threshold(100_000, 50, 100)
    given = getattr(config, "workerinput", {}).get(FOLDER)
    config.stash[SHARED] = SharedServers(Path(given) if given else testing.new_stack_folder())
    if RUNNING:
        try:
            Stack.join(Path(RUNNING))
        except (StackError, OSError) as problem:
            raise pytest.UsageError(f"TICKETING_TEST_SERVERS: {problem}") from problem


def pytest_configure_node(node: Any) -> None:
    """Pass the folder of the servers to a worker process (a hook of pytest-xdist)."""
    node.workerinput[FOLDER] = str(node.config.stash[SHARED].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Wait until the servers are stopped, unless other processes still run tests."""
    config.stash[SHARED].close(last=not _is_worker(config))


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests by what they need, sort them by it, and assign those that stay in one process.

    One process runs the tests of the whole system last. Several begin with them, then with what needs servers, and
    share out the rest at the end.
    """
    weights = {}
    for item in items:
        path, needs_system = item.location[0], _needs_system(item)
        is_alone = not path.startswith(SHARED_OUT)
        if NEEDS_SERVERS.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("integration")
        if needs_system:
            item.add_marker("e2e")
        if is_alone:
            item.add_marker(pytest.mark.xdist_group(_group(path, needs_system)))
        weights[item] = is_alone + (item.get_closest_marker("integration") is not None) + needs_system
    items.sort(key=weights.__getitem__, reverse=_is_worker(config))


def _group(path: str, needs_system: bool) -> str:
    return f"system of {'e2e' if path.startswith('tests/e2e/') else 'others'}" if needs_system else path


def pytest_collection_finish() -> None:
    """Freeze all imported and collected objects, as scanning them takes the garbage collector a tenth of the run."""
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Collect garbage once, so that pytest reports errors in it, instead of again and again at the end."""
    gc.collect()
    gc.freeze()


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> None:
    """Remember the whole system, to end it before the tests of this process do."""
    if fixturedef.argname == "system":
        request.config.stash[SYSTEM] = (fixturedef, request)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Stop the whole system once this process has no more tests of it: idle, it takes a sixth of a core."""
    yield
    if SYSTEM in item.config.stash and not _needs_system(nextitem):
        system, request = item.config.stash[SYSTEM]
        del item.config.stash[SYSTEM]
        system.finish(request)


def _needs_system(item: pytest.Item | None) -> bool:
    return item is not None and "system" in getattr(item, "fixturenames", ())


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator["Collector"]:
    """Yield a collector that receives all spans of this process."""
    from dev.collector import collecting

    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    with collecting("bakery", monkeypatch) as collector:
        yield collector


@pytest.fixture
def stack_folder() -> Iterator[Path]:
    """Yield a new folder for a stack."""
    with testing.stack_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Stack:
    """Return RabbitMQ, Redis and MongoDB, started once for all tests; a failing start fails the test."""
    return Stack.join(Path(RUNNING)) if RUNNING else pytestconfig.stash[SHARED].stack()


@pytest.fixture(scope="session")
def system() -> Iterator[Stack]:
    """Yield the whole system, started once for all tests of this process on servers of its own."""
    with testing.stack_folder() as folder, Stack(folder, free_ports(), environ=SETTINGS) as stack:
        yield stack


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Yield a browser, started once for all tests of this process; each opens pages in contexts of its own."""
    with testing.chromium() as browser:
        yield browser


@pytest.fixture
def amqp_url(servers: Stack) -> Iterator[str]:
    """Yield the address of a RabbitMQ vhost that is empty and this test's alone."""
    with testing.new_vhost(servers) as url:
        yield url


@pytest.fixture
def mongo_url(servers: Stack) -> Iterator[str]:
    """Yield the address of a MongoDB database that is empty and this test's alone."""
    with testing.new_database(servers) as url:
        yield url


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    """Yield the database of `mongo_url`, opened."""
    with _opened(mongo_url) as client:
        yield client.get_default_database()


@pytest.fixture(scope="module")
def kept_database(servers: Stack) -> Iterator[Database[dict[str, Any]]]:
    """Yield a MongoDB database that the tests of a module share; `emptied` is the same for one of them."""
    with testing.new_database(servers) as url, _opened(url) as client:
        yield client.get_default_database()


def _opened(url: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(url, tz_aware=True, timeoutMS=5000)


@pytest.fixture
def emptied(kept_database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """Return a MongoDB database that has only indexes: building these takes longer than most tests."""
    for name in kept_database.list_collection_names(filter={"name": {"$not": {"$regex": "^system[.]"}}}):
        kept_database[name].delete_many({})
    return kept_database


@pytest.fixture(scope="session")
def redis_database(servers: Stack) -> Iterator[str]:
    """Yield the address of a Redis database that is this process's alone."""
    with testing.own_redis_database(servers) as url:
        yield url


@pytest.fixture
def redis_url(redis_database: str) -> Iterator[str]:
    """Yield the address of a Redis database that is empty and this test's alone."""
    with redis.Redis.from_url(redis_database) as client:
        client.flushdb()
        yield redis_database
        client.flushdb()
