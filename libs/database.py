"""Opening MongoDB: majority writes, aware datetimes, and a timeout for every operation."""

from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError

TIMEOUT_SECONDS = 5


def connect(url: str) -> Database[dict[str, Any]]:
    """Return the database that `url` names in its path; every operation on it ends or fails within five seconds.

    Raises ValueError when `url` is no such address.
    """
    try:
        return _client(url).get_default_database()
    except ConfigurationError as error:
        raise ValueError from error


def _client(url: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(
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
