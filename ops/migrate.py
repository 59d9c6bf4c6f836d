"""Bring the databases of all services to what this version needs: `python -m ops.migrate`. Safe to repeat.

It builds the indexes that are missing and changes documents of earlier versions, however long that takes; services
check that it was run. Run it before the services, with their `…_MONGO_URL`: it may run beside those of the previous
version, and several at once. It logs what it did, or ends with a message and code 1.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import closing

from pymongo.errors import PyMongoError

from auth.store import UserStore
from expiration.store import DeadlineStore
from libs import logs
from libs.database import connect_without_deadline
from libs.schema import MigrationFailed, Schema, migrate
from libs.settings import MONGO_FORM, parsed
from orders.store import OrderStore
from payments.store import PaymentStore
from tickets.store import TicketStore

log = logging.getLogger("ops.migrate")

SCHEMAS: Mapping[str, Schema] = {
    "auth": UserStore.schema,
    "tickets": TicketStore.schema,
    "orders": OrderStore.schema,
    "payments": PaymentStore.schema,
    "expiration": DeadlineStore.schema,
}


def main() -> None:
    """Migrate one database after another."""
    databases = {
        service: parsed(f"{service.upper()}_MONGO_URL", connect_without_deadline, MONGO_FORM) for service in SCHEMAS
    }
    for service, database in databases.items():
        with closing(database.client):
            try:
                done = migrate(database, SCHEMAS[service])
            except (MigrationFailed, PyMongoError) as problem:
                sys.exit(f"{service}: {problem}")
        for line in done:
            log.info("%s: %s", service, line)
    log.info("the databases are up to date")


if __name__ == "__main__":
    logs.run(main)
