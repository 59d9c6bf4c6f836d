"""Migrate the databases of all services to this version: `python -m ops.migrate`. Safe to repeat.

It builds the indexes that are missing and changes documents of earlier versions, however long that takes; services
check that it was run. Run it before the services, with their `…_MONGO_URL`; it may run while the previous version does,
and several times at once. With MIGRATE_MONGO_PASSWORD it connects as the user `migrate` of each database, which may
build indexes there; services may not. It logs what it did, or ends with a message and code 1.
"""

import logging
import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from pymongo.database import Database
from pymongo.errors import PyMongoError

from auth.store import UserStore
from expiration.store import DeadlineStore
from libs import logs
from libs.database import connect_without_deadline
from libs.schema import MigrationFailed, Schema, migrate
from libs.settings import MONGO_FORM, optional, parsed
from ops.mongo_users import as_migration
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
    password = optional("MIGRATE_MONGO_PASSWORD", None, str, "a password")

    def connect(url: str) -> Database[dict[str, Any]]:
        return connect_without_deadline(as_migration(url, password) if password else url)

    databases = {service: parsed(f"{service.upper()}_MONGO_URL", connect, MONGO_FORM) for service in SCHEMAS}
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
