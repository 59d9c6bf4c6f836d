"""Fixtures for every test that needs real servers, or the whole system; pytest itself starts without any.

A test that asks for one of them is marked `integration` by itself, and one that asks for `system` `e2e` too.
TICKETING_TEST_SERVERS=FOLDER makes the tests use the servers that already run in FOLDER
(`python -m dev.stack servers --folder FOLDER` starts such), which saves their start on every run.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis
from pymongo.database import Database

from dev.stack import Stack, free_ports
from dev.stack.programs import nothing

NEEDS_SERVERS = {"servers", "stack_folder", "amqp_url", "mongo_url", "mongo", "redis_url", "system"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by what they need, and run those of the whole system last."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & NEEDS_SERVERS:
            item.add_marker("integration")
        if "system" in names:
            item.add_marker("e2e")
    items.sort(key=lambda item: item.get_closest_marker("e2e") is not None)


@pytest.fixture
def stack_folder() -> Iterator[Path]:
    """Yield a new folder for a stack, with a path short enough for its socket."""
    yield from _new_folder()


@pytest.fixture(scope="session")
def servers() -> Iterator[Stack]:
    """Yield RabbitMQ, Redis and MongoDB, started once for all tests; a failing start fails the test."""
    running = os.environ.get("TICKETING_TEST_SERVERS")
    if running:
        yield Stack.join(Path(running))
        return
    for folder in _new_folder():
        with Stack(folder, free_ports(), programs=nothing) as stack:
            yield stack


@pytest.fixture(scope="session")
def system() -> Iterator[Stack]:
    """Yield the whole system, started once for all tests on servers of its own."""
    for folder in _new_folder():
        with Stack(folder, free_ports(), environ={}) as stack:
            yield stack


@pytest.fixture
def amqp_url(servers: Stack) -> Iterator[str]:
    """Yield the address of a RabbitMQ vhost that is empty and this test's alone."""
    vhost = f"test-{secrets.token_hex(6)}"
    servers.management("PUT", f"/api/vhosts/{vhost}")
    yield servers.amqp_url_of(vhost)
    servers.management("DELETE", f"/api/vhosts/{vhost}")


@pytest.fixture
def mongo_url(servers: Stack) -> Iterator[str]:
    """Yield the address of a MongoDB database that is empty and this test's alone."""
    name = f"test_{secrets.token_hex(6)}"
    yield servers.mongo_url(name)
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(servers.mongo_url(name))
    with client:
        client.drop_database(name)


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    """Yield the database of `mongo_url`, opened."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_url, tz_aware=True, timeoutMS=5000)
    with client:
        yield client.get_default_database()


@pytest.fixture
def redis_url(servers: Stack) -> Iterator[str]:
    """Yield the address of a Redis database that is empty and this test's alone."""
    url = f"{servers.redis_url}{1 + secrets.randbelow(1023)}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


def _new_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="ticketing-"))
    yield folder
    shutil.rmtree(folder)
