"""Replica sets, which majority writes need, even if they have a single member."""

from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from libs.errors import ignoring_unavailable

NAME = "rs0"
ALREADY_INITIALIZED = 23  # mongodb/mongo: src/mongo/base/error_codes.yml


def takes_writes(client: MongoClient[dict[str, Any]], member: str) -> bool:
    """Return whether the mongod of `client` is a primary; initiate the replica set of `member` if it is in none.

    Raises OperationFailure when mongod refuses.
    """
    with ignoring_unavailable():
        if client.admin.command("hello")["isWritablePrimary"]:
            return True
        try:
            client.admin.command("replSetInitiate", of(member))
        except OperationFailure as refused:
            if refused.code != ALREADY_INITIALIZED:
                raise
        return bool(client.admin.command("hello")["isWritablePrimary"])
    return False


def of(*members: str) -> dict[str, Any]:
    """Return the configuration of a replica set of `members`."""
    return {"_id": NAME, "members": [{"_id": number, "host": member} for number, member in enumerate(members)]}
