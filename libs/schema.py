"""What a service's database must have, and the migration of a database to it.

Each store declares its `schema`. Only the migration (`python -m ops.migrate`, without a deadline) builds indexes and
changes documents of earlier versions; a service, whose every operation has a deadline, only checks that it was run.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from pymongo import IndexModel
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure

log = logging.getLogger(__name__)

COMMAND = "python -m ops.migrate"
OPTIONS = ("unique", "sparse", "partialFilterExpression", "expireAfterSeconds")
"""The options by which two indexes of the same keys differ."""

PAUSES = (0.0, 0.1, 0.2, 0.5, 1.0)
"""How many seconds the migration waits after each build before it checks that the indexes exist.

MongoDB (6.0.5) reports success to a client that requests an index which another one is building, even if the other's
request is then interrupted, and the index with it.
"""

NO_COLLECTION, NO_INDEX = 26, 27  # mongodb/mongo: src/mongo/base/error_codes.yml

Step = Callable[[Database[dict[str, Any]]], int]


@dataclass(frozen=True)
class Schema:
    """The indexes of each collection, and the steps that change documents of earlier versions.

    A step finds by its own query what is left to change, and returns how many documents it changed. So it may be
    repeated, and run concurrently with itself and with services of the previous version, which must be able to read
    what it writes.
    """

    indexes: Mapping[str, Sequence[IndexModel]]
    steps: Sequence[Step] = ()


class MissingIndexes(SystemExit):
    """The database lacks unique indexes without which a service must not serve; the message names them."""


class MigrationFailed(Exception):
    """An index cannot be built, for the existing data or another reason; the message says which and why."""


def check(database: Database[dict[str, Any]], schema: Schema, service: str) -> None:
    """Refuse to start a service whose database lacks a unique index; warn if it lacks another index.

    Raises MissingIndexes.
    """
    lacking = missing(database, schema)
    unique = [(name, index) for name, index in lacking if index.document.get("unique")]
    if unique:
        raise MissingIndexes(
            f"{service} does not start, as its database lacks what keeps its data consistent: {_titles(unique)}. "
            f"Run `{COMMAND}` first."
        )
    for name, index in lacking:
        log.warning("the index on %s is missing, so queries are slow or fail: run `%s`", _title(name, index), COMMAND)


def migrate(database: Database[dict[str, Any]], schema: Schema) -> list[str]:
    """Build the indexes that are missing and run the steps; return what was done, a line for each change.

    Needs a database that was opened without a deadline: otherwise a long build is aborted, and never finishes.
    Raises MigrationFailed.
    """
    lacking = first = missing(database, schema)
    for pause in PAUSES:
        if not lacking:
            break
        _build(database, lacking)
        time.sleep(pause)
        lacking = missing(database, schema)
    if lacking:
        raise MigrationFailed(
            f"MongoDB has reported {len(PAUSES)} times that it built {_titles(lacking)}: it is missing"
        )
    built = [f"built the index on {_title(*each)}" for each in first]
    changed = ((step, step(database)) for step in schema.steps)
    return built + [f"{step.__name__.replace('_', ' ')}: {count}" for step, count in changed if count]


def missing(database: Database[dict[str, Any]], schema: Schema) -> list[tuple[str, IndexModel]]:
    """Return the declared indexes that the database lacks, each with the name of its collection.

    An index that is still being built is missing: MongoDB does not enforce it yet.
    """
    found = {name: _ready_indexes(database, name) for name in schema.indexes}
    return [
        (name, index)
        for name, indexes in schema.indexes.items()
        for index in indexes
        if _essence(index.document) not in found[name]
    ]


def drop_index(collection: Collection[dict[str, Any]], name: str) -> int:
    """Drop an index that an earlier version built, for a step; return how many there were."""
    try:
        collection.drop_index(name)
    except OperationFailure as error:
        if error.code not in (NO_INDEX, NO_COLLECTION):
            raise
        return 0
    return 1


def _build(database: Database[dict[str, Any]], lacking: Sequence[tuple[str, IndexModel]]) -> None:
    for name, indexes in groupby(lacking, key=itemgetter(0)):
        try:
            database[name].create_indexes([index for _, index in indexes])  # all by one scan of the documents
        except OperationFailure as error:
            reason = (error.details or {}).get("errmsg", error)
            raise MigrationFailed(f"an index of {name} cannot be built: {reason}") from error


def _ready_indexes(database: Database[dict[str, Any]], collection: str) -> list[tuple[Any, ...]]:
    try:
        listed = database.command("listIndexes", collection, includeBuildUUIDs=True)["cursor"]["firstBatch"]
    except OperationFailure as error:
        if error.code != NO_COLLECTION:
            raise
        return []
    return [_essence(each) for each in listed if "buildUUID" not in each]  # those with one are being built


def _essence(index: Mapping[str, Any]) -> tuple[Any, ...]:
    return [*index["key"].items()], *(index.get(option) or None for option in OPTIONS)


def _title(collection: str, index: IndexModel) -> str:
    return f"{', '.join(index.document['key'])} of {collection}"


def _titles(indexes: Sequence[tuple[str, IndexModel]]) -> str:
    kinds = ["unique index" if index.document.get("unique") else "index" for _, index in indexes]
    return ", and ".join(f"the {kind} on {_title(*each)}" for kind, each in zip(kinds, indexes, strict=True))
