"""What each part may do at MongoDB, and the creation of its user; `ops.mongo_setup` creates them all.

A part reads and writes the documents of its own database, and sees its indexes. The migration also builds indexes, and
does so for all parts. Operators look, and make backups. Users are those of the addresses in the settings, and mongod
refuses everybody else.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.uri_parser import parse_uri

ADMINISTRATOR = "ticketing"
MIGRATION = "migrate"
PART_ROLE = "part"
PART_ACTIONS = ("find", "insert", "update", "remove", "listCollections", "listIndexes")
MIGRATION_ROLES = ("readWrite",)
OPERATOR_ROLES = ("backup", "clusterMonitor")

USER_EXISTS, ROLE_EXISTS = 51003, 51002  # mongodb/mongo: src/mongo/db/commands/user_management_commands.cpp

Client = MongoClient[dict[str, Any]]


def create_administrator(client: Client, password: str) -> None:
    """Create the first user, who may do everything; over mongod's loopback interface that needs no other user."""
    client.admin.command("createUser", ADMINISTRATOR, pwd=password, roles=["root"])


def grant_part(client: Client, url: str) -> None:
    """Create the user that a part's address names, or reset its password and its rights to the part's own database."""
    name, password, database = _user_of(client, url)
    privileges = [{"resource": {"db": database.name, "collection": ""}, "actions": list(PART_ACTIONS)}]
    _create_or_update(database, "Role", PART_ROLE, ROLE_EXISTS, privileges=privileges, roles=[])
    _create_or_update(database, "User", name, USER_EXISTS, pwd=password, roles=[PART_ROLE])


def grant_migration(client: Client, url: str, password: str) -> None:
    """Create the migration's user of the database of a part's address, or reset its password and rights."""
    grant_roles(client, as_migration(url, password), MIGRATION_ROLES)


def grant_operator(client: Client, url: str) -> None:
    """Create the operators' user that an address names, or reset its password and rights."""
    grant_roles(client, url, OPERATOR_ROLES)


def grant_roles(client: Client, url: str, roles: tuple[str, ...]) -> None:
    """Create the user that an address names, in the address's own database, with MongoDB's own `roles`."""
    name, password, database = _user_of(client, url)
    _create_or_update(database, "User", name, USER_EXISTS, pwd=password, roles=list(roles))


def as_migration(url: str, password: str) -> str:
    """Return a part's MongoDB address with the migration as its user."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{MIGRATION}:{quote(password, safe='')}@{rest.rpartition('@')[2]}"


def user_of(url: str) -> str:
    """Return the name of the user that an address names; raise ValueError when it names none with a password."""
    parsed: Mapping[str, Any] = parse_uri(url)
    if not parsed["username"] or not parsed["password"] or not parsed["database"]:
        raise ValueError("without user, password or database")
    return str(parsed["username"])


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
