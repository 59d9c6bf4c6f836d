"""The set-up of MongoDB: a replica set of one, and the users of all programs. `python -m ops.mongo_setup HOST:PORT`

It runs where mongod is 127.0.0.1, as only from there can its first user be created: on the same machine, or in the
network of its container. HOST is the name by which the others know it. Users have the names and passwords that are in
AUTH_MONGO_URL, TICKETS_MONGO_URL and so on. Data that were written before mongod had users are kept. Safe to repeat. If
these addresses have TLS, so has this connection, and mongod must show a certificate that they would accept, except for
its name: traffic to 127.0.0.1 does not leave the machine.

Exits once the set accepts writes and all users exist, or with a message and code 1 after a minute.
"""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from libs import logs
from libs.contracts.parts import MONGO_USERS, OPERATOR
from libs.database import tls_options
from libs.errors import ignoring_unavailable
from libs.settings import parsed, required
from ops import mongo_users, replica_set
from ops.mongo_users import ADMINISTRATOR, Client, create_administrator, user_of

log = logging.getLogger("ops.mongo_setup")

SECONDS = 60
LOOPBACK = "127.0.0.1"
UNAUTHORIZED, WRONG_PASSWORD = 13, 18  # mongodb/mongo: src/mongo/base/error_codes.yml
Options = Mapping[str, Any]
NO_TLS: Options = {}
USER_FORM = "mongodb://USER:PASSWORD@HOST:PORT/DATABASE"


def main() -> None:
    """Retry until it succeeds or the time is up."""
    member, password = sys.argv[1], required("MONGO_PASSWORD")
    addresses = {name: parsed(f"{name.upper()}_MONGO_URL", with_user, USER_FORM) for name in MONGO_USERS}
    migration = required("MIGRATE_MONGO_PASSWORD")
    tls = tls_options(addresses[OPERATOR])
    deadline = time.monotonic() + SECONDS
    while not takes_writes(member, password, tls):
        if time.monotonic() > deadline:
            sys.exit(f"{member} is not the primary of {replica_set.NAME} after {SECONDS} s")
        time.sleep(0.5)
    try:
        grant_all(member, password, addresses, migration, tls)
    except PyMongoError as problem:
        sys.exit(f"the users of {member} cannot be created: {problem}")
    log.info("%s is the primary of %s and has its users", member, replica_set.NAME)


def takes_writes(member: str, password: str, tls: Options = NO_TLS) -> bool:
    """Return whether `member` is a primary with its administrator; make it so if possible.

    `tls`: `tls_options` of an address of the server. Raises SystemExit when the administrator has another password.
    """
    try:
        with ignoring_unavailable(), opened(member, password, tls) as (client, is_known):
            if not replica_set.takes_writes(client, member):
                return False
            if not is_known:
                create_administrator(client, password)
            return True
    except OperationFailure as refused:
        if refused.code != UNAUTHORIZED:
            raise
        sys.exit(f"{member} has users, and the password of its administrator {ADMINISTRATOR} is not MONGO_PASSWORD")
    return False


@contextmanager
def opened(member: str, password: str, tls: Options = NO_TLS) -> Iterator[tuple[Client, bool]]:
    """Yield a connection to a mongod, and whether it has the administrator; if not, the connection has no user."""
    is_known = _knows_administrator(member, password, tls)
    with administrator(member, password, tls) if is_known else _connect(member, tls) as client:
        yield client, is_known


def _knows_administrator(member: str, password: str, tls: Options) -> bool:
    with administrator(member, password, tls) as client:
        try:
            client.admin.command("ping")
        except OperationFailure as refused:
            if refused.code != WRONG_PASSWORD:
                raise
            return False
    return True


def grant_all(member: str, password: str, addresses: Mapping[str, str], migration: str, tls: Options = NO_TLS) -> None:
    """Create the users of MONGO_USERS, whose addresses are given, and the migration's."""
    with administrator(member, password, tls) as client:
        mongo_users.grant_all(client, addresses, migration)


def administrator(member: str, password: str, tls: Options = NO_TLS) -> Client:
    """Return a connection of the administrator's to the mongod on the port of `member`, over its loopback interface."""
    return _connect(member, tls, username=ADMINISTRATOR, password=password, authSource="admin")


def _connect(member: str, tls: Options, **credentials: Any) -> Client:
    address = f"{LOOPBACK}:{member.rpartition(':')[2]}"
    options = {**tls, "tlsAllowInvalidHostnames": True} if tls else {}
    return MongoClient(address, directConnection=True, timeoutMS=5000, **options, **credentials)


def with_user(url: str) -> str:
    """Return an address; raise ValueError when it names no user with a password."""
    user_of(url)
    tls_options(url)
    return url


if __name__ == "__main__":
    logs.run(main)
