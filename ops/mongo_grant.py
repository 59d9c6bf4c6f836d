"""The users of all programs at a MongoDB that is set up otherwise, as on Kubernetes: `python -m ops.mongo_grant`

It connects to the addresses in AUTH_MONGO_URL, TICKETS_MONGO_URL and so on, as the administrator `ticketing` of the
database `admin`, whose password is MONGO_PASSWORD. Users have the names and passwords of the addresses. Safe to repeat.
Exits once all users exist, or with a message and code 1.
"""

import logging
import sys
from contextlib import closing

from pymongo.errors import PyMongoError

from libs import logs
from libs.contracts.parts import MONGO_USERS
from libs.database import connect_without_deadline
from libs.settings import parsed, required
from ops.mongo_setup import USER_FORM, with_user
from ops.mongo_users import as_administrator, grant

log = logging.getLogger("ops.mongo_grant")


def main() -> None:
    """Create the users of one address after the other."""
    password, migration = required("MONGO_PASSWORD"), required("MIGRATE_MONGO_PASSWORD")
    addresses = {name: parsed(f"{name.upper()}_MONGO_URL", with_user, USER_FORM) for name in MONGO_USERS}
    for name, url in addresses.items():
        try:
            with closing(connect_without_deadline(as_administrator(url, password)).client) as client:
                grant(client, name, url, migration)
        except PyMongoError as problem:
            sys.exit(f"the user of {name.upper()}_MONGO_URL cannot be created: {problem}")
    log.info("MongoDB has all users")


if __name__ == "__main__":
    logs.run(main)
