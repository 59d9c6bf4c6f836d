"""Connecting to MongoDB: majority writes, aware datetimes, and for services a timeout for every operation.

An address may name several members of the replica set; the driver finds the primary among them, and finds the new one
after an election. MONGO_WRITE_CONCERN may require more than a majority, and MONGO_READ_PREFERENCE lets secondaries,
which may be behind, answer reads on which nothing depends.

With `tls=true` in the address the server must show a certificate for its name, signed by the CA in the file
MONGO_CA_FILE, or by one that the system trusts if that is unset.
"""

import warnings
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ConfigurationError
from pymongo.read_preferences import Nearest, SecondaryPreferred
from pymongo.uri_parser import parse_uri

import libs.idle_threads  # noqa: F401 - whose threads pymongo's clients are to have
from libs.settings import ca_file, read_preference, write_concern

TIMEOUT_SECONDS = 5
CHECK_SECONDS = 2
UNVERIFIED = ("tlsInsecure", "tlsAllowInvalidCertificates", "tlsAllowInvalidHostnames")
PREFERENCES = {"secondaryPreferred": SecondaryPreferred(), "nearest": Nearest()}
DUPLICATE_KEY = 11000
"""MongoDB's error code for a duplicate key in a unique index."""
SELECTION_SECONDS = 60
"""How long the migration waits for a server that takes writes."""


def connect(url: str) -> Database[dict[str, Any]]:
    """Return the database that `url` names in its path; every operation on it ends or fails within five seconds.

    Raises ValueError when `url` is not such an address.
    """
    timeout = TIMEOUT_SECONDS * 1000
    return _open(url, timeoutMS=timeout, socketTimeoutMS=timeout, serverSelectionTimeoutMS=timeout)


def check_readable(collection: Collection[Any]) -> None:
    """Read a document, if there is any; raise a pymongo error if the primary does not answer within two seconds."""
    with pymongo.timeout(CHECK_SECONDS):
        collection.find_one({}, {"_id": True})


def for_stale_reads(collection: Collection[Any]) -> Collection[Any]:
    """Return the collection for reads that may be stale: from the members that MONGO_READ_PREFERENCE names."""
    preference = PREFERENCES.get(read_preference())
    return collection.with_options(read_preference=preference) if preference else collection


def duplicates_in(error: BulkWriteError) -> list[dict[str, Any]]:
    """Return the failed writes of a batch if each of them failed with a duplicate key; else raise the error."""
    failed: list[dict[str, Any]] = error.details["writeErrors"]
    if error.details["writeConcernErrors"] or any(each["code"] != DUPLICATE_KEY for each in failed):
        raise error
    return failed


def is_due(field: str, seconds: float) -> dict[str, Any]:
    """Return the filter for documents whose `field` is not in the future by MongoDB's clock.

    It is set at most `seconds` ahead, so one further ahead is due: the clock has been set back, or the primary is new.
    """
    furthest = {"$add": ["$$NOW", round(seconds * 1000)]}
    is_ahead = {"$and": [{"$gt": [f"${field}", "$$NOW"]}, {"$lte": [f"${field}", furthest]}]}
    return {"$expr": {"$not": [is_ahead]}}


def connect_without_deadline(url: str) -> Database[dict[str, Any]]:
    """Return the database that `url` names; an operation on it may take as long as it needs. Raises as `connect`."""
    return _open(url, serverSelectionTimeoutMS=SELECTION_SECONDS * 1000)


def _open(url: str, **timeouts: int) -> Database[dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # by which pymongo ignores options that it does not know
            client = _client(url, **timeouts, **tls_options(url))
    except (ConfigurationError, UserWarning) as error:
        raise ValueError from error
    try:
        return client.get_default_database()
    except ConfigurationError as error:
        client.close()
        raise ValueError from error


def tls_options(url: str) -> dict[str, Any]:
    """Return the options of pymongo by which the server of an address is verified, and our own certificate if any.

    None without TLS; then a CA's file stops the start. Raises ValueError when the address disables verification.
    """
    options = parse_uri(url)["options"]
    if any(name in options for name in UNVERIFIED):
        raise ValueError("certificates are always verified")
    has_tls = bool(options.get("tls"))
    authority = ca_file("MONGO", has_tls)
    if not has_tls:
        return {}
    given = {name: value for name, value in options.items() if name.startswith("tls")}
    return given | ({"tlsCAFile": authority} if authority else {})


def _client(url: str, **options: Any) -> MongoClient[dict[str, Any]]:
    connecting = TIMEOUT_SECONDS * 1000
    return MongoClient(
        url,
        w=write_concern(),
        journal=True,
        readPreference="primary",  # reads on which decisions depend never go to a member that may be behind
        tz_aware=True,
        connectTimeoutMS=connecting,
        maxPoolSize=50,
        **options,
    )
