"""The rights of each part at MongoDB, and the creation of its user; `ops.mongo_setup` creates them all.

A part reads and writes the documents of its own database, and sees its indexes. The migration also builds indexes, for
all parts. Neither can change or remove entries of the operators' audit log in auth's database. Operators can read
everything and make backups. The monitoring user sees the state of the replica set. The users are those in the addresses
of the settings; mongod refuses everybody else.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, OperationFailure
from pymongo.uri_parser import parse_uri

from libs.contracts.parts import MONITOR, OPERATOR

ADMINISTRATOR = "ticketing"
MIGRATION = "migrate"
PART_ROLE, MIGRATION_ROLE = "part", "migration"
PART_ACTIONS = ("find", "insert", "listCollections", "listIndexes")
MIGRATION_ACTIONS = (*PART_ACTIONS, "createCollection", "createIndex", "dropIndex")
CHANGE_ACTIONS = ("update", "remove")
OPERATOR_ROLES = ("backup", "clusterMonitor")
MONITOR_ACTIONS = ("replSetGetStatus", "replSetGetConfig")

CHANGED: Mapping[str, Sequence[str]] = {
    "auth": (
        *("users", "revoked_sessions", "followers", "sessions", "attempts", "accepted_keys", "operators"),
        *("announcements", "second_factors", "passkeys", "used_challenges", "account_changes"),
    )
}
"""The collections whose documents are changed; auth's others, the operators' audit log, are append-only.

The other parts may change all of theirs.
"""
EVERY_COLLECTION = ""
"""MongoDB's word for them in a privilege."""

USER_EXISTS, ROLE_EXISTS = 51003, 51002  # mongodb/mongo: src/mongo/db/commands/user_management_commands.cpp

Client = MongoClient[dict[str, Any]]


def create_administrator(client: Client, password: str) -> None:
    """Create the first user, who may do everything; over mongod's loopback interface that needs no other user."""
    client.admin.command("createUser", ADMINISTRATOR, pwd=password, roles=["root"])


def grant_all(client: Client, addresses: Mapping[str, str], migration: str) -> None:
    """Create the users of MONGO_USERS, whose addresses are given, and the migration's, or reset them."""
    for name, url in addresses.items():
        grant(client, name, url, migration)


def grant(client: Client, name: str, url: str, migration: str) -> None:
    """Create one of MONGO_USERS, whose address is given, or reset it; for a service the migration's user, too."""
    if name == OPERATOR:
        grant_operator(client, url)
    elif name == MONITOR:
        grant_monitor(client, url)
    else:
        grant_part(client, name, url)
        grant_migration(client, name, url, migration)


def grant_part(client: Client, part: str, url: str) -> None:
    """Create the user that a part's address names, or reset its password and its rights to the part's own database."""
    _grant_own(client, part, url, PART_ROLE, PART_ACTIONS)


def grant_migration(client: Client, part: str, url: str, password: str) -> None:
    """Create the migration's user of the database of a part's address, or reset its password and rights."""
    _grant_own(client, part, as_migration(url, password), MIGRATION_ROLE, MIGRATION_ACTIONS)


def grant_operator(client: Client, url: str) -> None:
    """Create the operators' user that an address names, or reset its password and rights."""
    name, password, database = _user_of(client, url)
    _create_or_update(database, "User", name, USER_EXISTS, pwd=password, roles=[*OPERATOR_ROLES])


def grant_monitor(client: Client, url: str) -> None:
    """Create the user that an address names, who monitors MongoDB, or reset its password and rights."""
    name, password, database = _user_of(client, url)
    privileges = [{"resource": {"cluster": True}, "actions": [*MONITOR_ACTIONS]}]
    _create_or_update(database, "Role", MONITOR, ROLE_EXISTS, privileges=privileges, roles=[])
    _create_or_update(database, "User", name, USER_EXISTS, pwd=password, roles=[MONITOR])


def as_migration(url: str, password: str) -> str:
    """Return a part's MongoDB address with the migration as its user."""
    return _as_user(url, MIGRATION, password)


def as_administrator(url: str, password: str) -> str:
    """Return an address with the administrator as its user, who is a user of the database `admin`."""
    address, _, options = _as_user(url, ADMINISTRATOR, password).partition("?")
    others = [each for each in options.split("&") if each and not each.lower().startswith("authsource=")]
    return f"{address}?{'&'.join([*others, 'authSource=admin'])}"


def _as_user(url: str, name: str, password: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{name}:{quote(password, safe='')}@{rest.rpartition('@')[2]}"


def user_of(url: str) -> str:
    """Return the name of the user that an address names; raise ValueError when it names none with a password."""
    try:
        parsed: Mapping[str, Any] = parse_uri(url)
    except ConfigurationError as error:
        raise ValueError from error
    if not parsed["username"] or not parsed["password"] or not parsed["database"]:
        raise ValueError("without user, password or database")
    return str(parsed["username"])


def _grant_own(client: Client, part: str, url: str, role: str, actions: Sequence[str]) -> None:
    name, password, database = _user_of(client, url)
    privileges = [_privilege(database.name, EVERY_COLLECTION, actions)]
    privileges += [
        _privilege(database.name, collection, CHANGE_ACTIONS) for collection in CHANGED.get(part, [EVERY_COLLECTION])
    ]
    _create_or_update(database, "Role", role, ROLE_EXISTS, privileges=privileges, roles=[])
    _create_or_update(database, "User", name, USER_EXISTS, pwd=password, roles=[role])


def _privilege(database: str, collection: str, actions: Sequence[str]) -> dict[str, Any]:
    """Return MongoDB's form of a right to one collection, or to all of a database."""
    return {"resource": {"db": database, "collection": collection}, "actions": [*actions]}


def _user_of(client: Client, url: str) -> tuple[str, str, Database[dict[str, Any]]]:
    parsed: Mapping[str, Any] = parse_uri(url)
    return parsed["username"], parsed["password"], client[parsed["database"]]


def _create_or_update(database: Database[dict[str, Any]], kind: str, name: str, exists: int, **about: Any) -> None:
    try:
        database.command(f"create{kind}", name, **about)
    except OperationFailure as refused:
        if refused.code != exists:
            raise
        database.command(f"update{kind}", name, **about)
