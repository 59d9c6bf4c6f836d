"""Make a mongod the primary of a replica set of one: `python -m ops.replica_set HOST:PORT`. Safe to repeat.

Ends once the set takes writes, or with a message and code 1 after a minute.
"""

import logging
import sys
import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from libs import logs
from libs.errors import ignoring_unavailable

log = logging.getLogger("ops.replica_set")

NAME = "rs0"
ALREADY_INITIALIZED = 23  # mongodb/mongo: src/mongo/base/error_codes.yml
SECONDS = 60


def main() -> None:
    """Try until it is done or the time is up."""
    member, deadline = sys.argv[1], time.monotonic() + SECONDS
    while not takes_writes(member):
        if time.monotonic() > deadline:
            sys.exit(f"{member} is not the primary of {NAME} after {SECONDS} s")
        time.sleep(0.5)
    log.info("%s is the primary of %s", member, NAME)


def takes_writes(member: str) -> bool:
    """Return whether `member` is a primary; initiate its replica set when it is in none yet."""
    client: MongoClient[dict[str, Any]] = MongoClient(member, directConnection=True, timeoutMS=5000)
    with ignoring_unavailable(), client:
        try:
            client.admin.command("replSetInitiate", of_one(member))
        except OperationFailure as refused:
            if refused.code != ALREADY_INITIALIZED:
                raise
        return bool(client.admin.command("hello")["isWritablePrimary"])
    return False


def of_one(member: str) -> dict[str, Any]:
    """Return the configuration of a replica set whose only member is `member`."""
    return {"_id": NAME, "members": [{"_id": 0, "host": member}]}


if __name__ == "__main__":
    logs.run(main)
