"""The workload of every library."""

import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any

from pymongo import MongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.database import Database

AMQP_URL = os.environ.get("PEER_AMQP_URL", "")
MONGO_URL = os.environ.get("PEER_MONGO_URL", "")
RELIABLE = os.environ.get("PEER_RELIABLE") == "1"
WORK_SECONDS = float(os.environ.get("PEER_WORK_SECONDS", "0"))
stopping: list[bool] = []


@cache
def database() -> Database[dict[str, Any]]:
    """Return the database, connected in the process that first asks for it."""
    return MongoClient[dict[str, Any]](MONGO_URL).get_default_database()


def produce(publish: Callable[[str], Any], change: Callable[[str], Any] | None = None) -> None:
    """Make changes by lines of the standard input, "PREFIX COUNT RATE"; answer "ready" and then "done" to each.

    A change is stored and then published, as a request to a web server would do it. When publishing fails, the change
    is undone, as for a request that is answered by an error. `change(ident)` stores it in another way. SIGTERM ends it
    after the change that it is making.
    """
    store = change or (lambda ident: database().changes.insert_one(changed(ident)))
    for ident in requested():
        store(ident)
        try:
            publish(ident)
        except Exception:  # noqa: BLE001 - whatever it is
            database().changes.delete_one({"_id": ident})


async def produce_async(changes: AsyncCollection[dict[str, Any]], publish: Callable[[str], Awaitable[Any]]) -> None:
    """Do the same in an event loop."""
    for ident in requested():
        await changes.insert_one(changed(ident))
        try:
            await publish(ident)
        except Exception:  # noqa: BLE001 - whatever it is
            await changes.delete_one({"_id": ident})


def requested() -> Iterator[str]:
    """Yield the id of each change to be made when it is its turn; answer "ready" and "done"."""
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    answer("ready")
    for line in sys.stdin:
        prefix, count, rate = line.split()
        began = time.perf_counter()
        for number in range(int(count)):
            if stopping:
                return
            pause(began, number, float(rate))
            yield f"{prefix}-{number}"
        answer("done")


def changed(ident: str) -> dict[str, Any]:
    """Return a change, with the time just before it is made."""
    return {"_id": ident, "at": time.time()}


def handle(ident: str) -> None:
    """Store the effect of an event."""
    time.sleep(WORK_SECONDS)
    database().effects.update_one({"_id": ident}, effect(), upsert=True)


def effect() -> dict[str, Any]:
    """Return the update for an event's effect, which also stores the time of the first one."""
    return {"$inc": {"count": 1}, "$setOnInsert": {"at": time.time()}}


def pause(began: float, number: int, rate: float) -> None:
    """Wait until it is the turn of a change at so many a second; not at all at rate 0."""
    if rate:
        time.sleep(max(0.0, began + number / rate - time.perf_counter()))


def answer(word: str) -> None:
    """Report to the benchmark."""
    print(word, flush=True)
