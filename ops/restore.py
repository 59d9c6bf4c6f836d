"""Restore a backup of `ops.backup`: `python -m ops.restore FOLDER [--replace]`. No program of the system may run.

It reads all files before it changes anything, and refuses databases that have documents unless it may replace them.
Then it writes the documents of each collection, builds its indexes, and compares the collection with the backup. It
connects to OPERATOR_MONGO_URL as the administrator, whose password is MONGO_PASSWORD, and logs what it did, or exits
with a message and code 1.

The contents of RabbitMQ and Redis no longer fit then: empty both, and start the programs (docs/operations.md).
"""

import argparse
import gzip
import logging
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from bson import decode_file_iter
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS
from pymongo.errors import PyMongoError

from libs import logs
from libs.database import connect_without_deadline
from libs.settings import MONGO_FORM, parsed, required
from ops.backup import OF_MONGODB, Client, DamagedBackup, Manifest, Saved, Wanted, bson_of, content_of, listed, verify
from ops.mongo_users import as_administrator

log = logging.getLogger("ops.restore")

AT_ONCE = 1000  # documents


class NotEmpty(Exception):
    """A database has documents already; the message names it."""


class NotRestored(Exception):
    """The database now differs from the backup; the message names the collection."""


def main() -> None:
    """Restore a backup."""
    parser = argparse.ArgumentParser(prog="python -m ops.restore", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--replace", action="store_true", help="delete all documents that are there")
    options = parser.parse_args()
    password = required("MONGO_PASSWORD")
    database = parsed(
        "OPERATOR_MONGO_URL", lambda url: connect_without_deadline(as_administrator(url, password)), MONGO_FORM
    )
    with closing(database.client) as client:
        try:
            restore(client, options.folder, options.replace)
        except NotEmpty as problem:
            sys.exit(f"{problem}: nothing was changed; --replace deletes all documents that are there")
        except (DamagedBackup, NotRestored, PyMongoError) as problem:
            sys.exit(f"the backup is not restored: {problem}")


def restore(
    client: Client, folder: Path, replace: bool, is_wanted: Wanted = lambda database: database not in OF_MONGODB
) -> Manifest:
    """Restore the selected databases from the backup in `folder`; return its manifest.

    Raises NotEmpty and DamagedBackup before anything is changed, later NotRestored and PyMongoError.
    """
    manifest = verify(folder)
    present = [name for name in client.list_database_names() if is_wanted(name)]
    if not replace:
        for name in present:
            for collection, _ in listed(client[name]):
                if client[name][collection].find_one({}, {"_id": True}):
                    raise NotEmpty(f"{name}.{collection} has documents")
    for name in present:
        client.drop_database(name)  # its users and roles stay
    for saved in manifest.collections:
        _restore(client, folder, saved)
        log.info("%s.%s has its %s documents", saved.database, saved.name, saved.documents)
    log.info("restored what was there at %s", manifest.taken_at)
    return manifest


def _restore(client: Client, folder: Path, saved: Saved) -> None:
    database = client[saved.database]
    collection = database.create_collection(saved.name, **saved.options)
    for documents in _read(folder / saved.file):
        collection.insert_many(documents, ordered=False, bypass_document_validation=True)
    indexes = [index for index in saved.indexes if index["name"] != "_id_"]
    if indexes:
        database.command("createIndexes", saved.name, indexes=indexes)
    if content_of(bson_of(database, saved.name)) != saved.content:
        raise NotRestored(f"{saved.database}.{saved.name} is not what is in the backup")


def _read(path: Path) -> Iterator[list[Any]]:
    """Yield the documents of a file, some at a time."""
    with gzip.open(path) as file:
        documents = decode_file_iter(cast(BinaryIO, file), DEFAULT_RAW_BSON_OPTIONS)
        while some := list(islice(documents, AT_ONCE)):
            yield some


if __name__ == "__main__":
    logs.run(main)
