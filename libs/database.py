"""Opening MongoDB: majority writes, aware times, and no wait without a deadline."""

from typing import Any

from pymongo import MongoClient
from pymongo.database import Database

TIMEOUT_SECONDS = 5


def connect(url: str) -> Database[dict[str, Any]]:
    """Return the database that `url` names in its path; every operation on it ends or fails within five seconds."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        url,
        w="majority",
        journal=True,
        tz_aware=True,
        timeoutMS=TIMEOUT_SECONDS * 1000,
        serverSelectionTimeoutMS=TIMEOUT_SECONDS * 1000,
        connectTimeoutMS=TIMEOUT_SECONDS * 1000,
        socketTimeoutMS=TIMEOUT_SECONDS * 1000,
        maxPoolSize=50,
    )
    return client.get_default_database()
