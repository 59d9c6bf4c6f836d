import ast
import logging
from pathlib import Path

import amqp.exceptions
import bson.errors
import gridfs.errors
import kombu.exceptions
import pymongo.errors
import pymongo.synchronous.pool
import pytest
import redis.exceptions
import redis.sentinel
import stripe
import stripe.oauth_error
from pymongo.errors import (
    BulkWriteError,
    DuplicateKeyError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WriteError,
)

from dev.testing import syntax_nodes
from libs.amqp import BrokerUnavailable
from libs.amqp.container import DeadlineExceeded
from libs.contracts.parts import PARTS
from libs.errors import TABLE, Kind, Unavailable, _name, ignoring_unavailable, kind_of, log_failure
from libs.events import VersionConflict
from libs.rpc import RemoteError, ServiceUnavailable

ROOT = Path(__file__).parent.parent.parent
MODULES = (
    *(pymongo.errors, pymongo.synchronous.pool, bson.errors, gridfs.errors),
    *(redis.exceptions, redis.sentinel, amqp.exceptions, kombu.exceptions, stripe, stripe.oauth_error),
)
LIBRARIES = {module.__name__.partition(".")[0] for module in MODULES}


def defined():
    """Return every exception class of the libraries, by its name in the table."""
    found = [value for module in MODULES for value in vars(module).values() if isinstance(value, type)]
    for cls in found:  # it grows
        if issubclass(cls, Exception):
            found += [each for each in cls.__subclasses__() if each not in found]
    errors = {cls for cls in found if issubclass(cls, Exception) and not issubclass(cls, Warning)}
    return {_name(cls): cls for cls in errors if _name(cls).partition(".")[0] in LIBRARIES}


@pytest.mark.parametrize("name", sorted(defined()))
def test_every_exception_of_the_libraries_is_in_the_table(name):
    assert name in TABLE, f"an upgrade brought {name}: say in libs/errors.py what it means"


def test_the_table_names_nothing_that_the_libraries_no_longer_have():
    ours = {name for name in TABLE if name.partition(".")[0] in LIBRARIES}

    assert ours - set(defined()) == set()


def mongo(cls, code, **details):
    return cls("refused", code, {"code": code, **details})


def batch(*codes, **details):
    return BulkWriteError({"writeErrors": [{"code": code} for code in codes], "writeConcernErrors": [], **details})


UNDOUBLED = {"writeConcernErrors": [{"code": 11602}]}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ServerSelectionTimeoutError("no primary"), Kind.UNAVAILABLE),
        (mongo(WriteConcernError, 11602), Kind.UNAVAILABLE),
        (mongo(WriteConcernError, 100), Kind.UNAVAILABLE),
        (mongo(OperationFailure, 11600), Kind.UNAVAILABLE),
        (mongo(OperationFailure, 999, errorLabels=["RetryableWriteError"]), Kind.UNAVAILABLE),
        (mongo(OperationFailure, 13), Kind.BUG),
        (mongo(WriteError, 14031), Kind.UNAVAILABLE),
        (mongo(WriteError, 112), Kind.CONFLICT),
        (mongo(WriteError, 2), Kind.BUG),
        (mongo(DuplicateKeyError, 11000), Kind.CONFLICT),
        (batch(11000), Kind.CONFLICT),
        (batch(11000, 91), Kind.UNAVAILABLE),
        (batch(11000, 2), Kind.BUG),
        (batch(11000, **UNDOUBLED), Kind.UNAVAILABLE),
        (batch(2, **UNDOUBLED), Kind.UNAVAILABLE),
        (redis.exceptions.ConnectionError("refused"), Kind.UNAVAILABLE),
        (redis.exceptions.AuthenticationError("wrong password"), Kind.BUG),
        (redis.exceptions.ResponseError("MISCONF the disk is full"), Kind.UNAVAILABLE),
        (
            redis.exceptions.ResponseError("Command # 1 (SET a) of pipeline caused error: MISCONF full"),
            Kind.UNAVAILABLE,
        ),
        (redis.exceptions.ResponseError("WRONGTYPE it is a list"), Kind.BUG),
        (stripe.APIConnectionError("refused"), Kind.UNAVAILABLE),
        (stripe.APIError("failed", http_status=500), Kind.UNAVAILABLE),
        (stripe.APIError("the key is in use", http_status=409), Kind.CONFLICT),
        (stripe.RateLimitError("too many", http_status=429), Kind.UNAVAILABLE),
        (stripe.InvalidRequestError("no such thing", "id", http_status=404), Kind.BUG),
        (stripe.AuthenticationError("wrong key", http_status=401), Kind.BUG),
        (amqp.exceptions.ConnectionForced("shutdown"), Kind.UNAVAILABLE),
        (amqp.exceptions.PreconditionFailed("another type"), Kind.BUG),
        (kombu.exceptions.OperationalError("refused"), Kind.UNAVAILABLE),
        (OSError("Server unexpectedly closed connection"), Kind.UNAVAILABLE),
        (ConnectionResetError(), Kind.UNAVAILABLE),
        (TimeoutError(), Kind.UNAVAILABLE),
        (FileNotFoundError(), Kind.BUG),
        (KeyError("id"), Kind.BUG),
        (Unavailable(), Kind.UNAVAILABLE),
        (ServiceUnavailable(), Kind.UNAVAILABLE),
        (BrokerUnavailable(), Kind.UNAVAILABLE),
        (DeadlineExceeded(), Kind.UNAVAILABLE),
        (VersionConflict(), Kind.CONFLICT),
        (RemoteError("TicketSold"), Kind.BUG),
    ],
)
def test_an_error_means_the_same_to_all_parts(error, kind):
    assert kind_of(error) is kind


def test_a_lock_timeout_at_stripe_is_a_conflict_and_no_outage():
    body = {"error": {"code": "lock_timeout", "message": "locked"}}

    assert kind_of(stripe.RateLimitError("locked", http_status=429, json_body=body)) is Kind.CONFLICT


def test_a_class_that_an_upgrade_brings_means_what_its_base_does_meanwhile():
    class Brought(pymongo.errors.AutoReconnect):
        """Not in the table."""

    assert kind_of(Brought("lost")) is Kind.UNAVAILABLE


def test_only_what_is_unreachable_is_ignored():
    with ignoring_unavailable():
        raise ConnectionResetError

    with pytest.raises(KeyError), ignoring_unavailable():
        raise KeyError("id")


@pytest.mark.parametrize(
    ("error", "level", "has_traceback"),
    [
        (ServerSelectionTimeoutError("no primary"), "WARNING", False),
        (KeyError("id"), "ERROR", True),
        (amqp.exceptions.AccessRefused("Login was refused"), "ERROR", False),
        (amqp.exceptions.NotAllowed("vhost / not found"), "ERROR", False),
        (redis.exceptions.AuthenticationError("invalid password"), "ERROR", False),
        (OperationFailure("Authentication failed.", 18), "ERROR", False),
        (OperationFailure("not authorized on orders to execute command", 13), "ERROR", False),
        (OperationFailure("unknown operator", 2), "ERROR", True),
    ],
)
def test_only_a_bug_that_says_too_little_is_logged_with_its_traceback(caplog, error, level, has_traceback):
    log_failure(logging.getLogger("libs.errors"), error, "%s failed", "orders.create")

    (record,) = caplog.records
    assert (record.levelname, bool(record.exc_info)) == (level, has_traceback)
    assert record.getMessage().startswith(f"orders.create failed: {type(error).__name__}: ")


BASES = {"amqp.AMQPError", "kombu.KombuError", "pymongo.PyMongoError", "redis.RedisError", "stripe.StripeError"}
ASKS_THE_TABLE = {("payments/card_provider.py", "stripe.StripeError")}
HAS_ANOTHER_MEANING = {
    ("dev/testing.py", "amqp.NotFound"),  # the queue is not declared yet
    ("libs/events/parking.py", "amqp.NotFound"),
    ("libs/amqp/consumer.py", "amqp.NotFound"),  # another's exchange is not declared yet
    ("ops/broker_setup.py", "amqp.NotFound"),  # a queue of an earlier version is gone already
    ("ops/broker_setup.py", "amqp.ChannelError"),  # what is refused is reported, once all else is declared
    *(
        ("ops/broker_setup.py", name) for name in ("amqp.AMQPError", "kombu.KombuError")
    ),  # whatever it is, it is reported
    ("dev/stack/backups.py", "pymongo.PyMongoError"),
    *(
        (f"ops/{name}.py", "pymongo.PyMongoError")
        for name in ("migrate", "mongo_setup", "mongo_grant", "backup", "restore")
    ),
}


def caught(path):
    """Yield the names in the table of what a file catches, suppresses or compares."""
    imports = [node for node in syntax_nodes(path) if isinstance(node, ast.ImportFrom) and node.module]
    origin = {alias.asname or alias.name: node.module for node in imports for alias in node.names}
    for node in syntax_nodes(path):
        places = [node.type] if isinstance(node, ast.ExceptHandler) and node.type else []
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("suppress", "isinstance"):
            places = node.args
        for each in (each for place in places for each in ast.walk(place)):
            if isinstance(each, ast.Name):
                yield f"{origin.get(each.id, '').partition('.')[0]}.{each.id}"
            elif isinstance(each, ast.Attribute):
                yield f"{ast.unparse(each).partition('.')[0]}.{each.attr}"


@pytest.mark.lengthy
def test_nothing_decides_by_itself_which_errors_mean_that_a_server_is_away():
    away = {name for name, kind in TABLE.items() if kind is Kind.UNAVAILABLE and name.partition(".")[0] in LIBRARIES}
    paths = [path for part in (*PARTS, "libs", "ops", "dev") for path in (ROOT / part).rglob("*.py")]
    paths = [path for path in paths if "tests" not in path.parts]

    found = {(str(path.relative_to(ROOT)), name) for path in paths for name in caught(path) if name in away | BASES}

    assert found == ASKS_THE_TABLE | HAS_ANOTHER_MEANING
