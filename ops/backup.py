"""A backup of all databases as they were at one moment, while the site runs: `python -m ops.backup FOLDER`

It reads a snapshot of the replica set at OPERATOR_MONGO_URL, and writes a new folder in FOLDER, named by the time. The
folder has a compressed BSON file for each collection, and `manifest.json` (see `Manifest`). Every file is read back
before the folder gets its name, which is then printed. If anything fails, nothing is left, and the program exits with a
message and code 1. `ops.restore` restores a backup.

MongoDB keeps a snapshot for five minutes. If that is not enough, raise the server parameter
`minSnapshotHistoryWindowInSeconds`.
"""

import argparse
import gzip
import hashlib
import logging
import os
import shutil
import signal
import struct
import sys
import tomllib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from bson import Timestamp, json_util
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from libs import logs
from libs.clock import utc_now
from libs.database import connect_without_deadline
from libs.settings import MONGO_FORM, parsed

log = logging.getLogger("ops.backup")

FORMAT = 1
MANIFEST = "manifest.json"
DRAFT = ".draft"
OF_MONGODB = ("admin", "config", "local")
TRIES = 3
CHANGED_MEANWHILE, TOO_OLD = 246, 239  # SnapshotUnavailable, SnapshotTooOld: src/mongo/base/error_codes.yml
FAST = 1  # of gzip's levels: the snapshot has to be read in time
CHUNK = 2**20  # bytes
LENGTH = struct.Struct("<i")
"""The length field with which each BSON document begins."""

Client = MongoClient[dict[str, Any]]
Wanted = Callable[[str], bool]


class BackupFailed(Exception):
    """No backup was made; the message says why."""


class DamagedBackup(Exception):
    """A backup differs from what was written; the message says how."""


@dataclass(frozen=True)
class Content:
    """The documents of a collection, in the order of their ids: the length of their BSON in bytes, and its SHA-256."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Saved:
    """A collection: its creation options, its indexes, and its documents."""

    database: str
    name: str
    options: Mapping[str, Any]
    indexes: Sequence[Mapping[str, Any]]
    documents: int
    content: Content

    @property
    def file(self) -> str:
        """The name of the file with its documents."""
        return f"{self.database}.{self.name}.bson.gz"


@dataclass(frozen=True)
class Manifest:
    """The contents of a backup, when it was taken, and the versions of this system and of MongoDB.

    `taken_at` is by our clock (ISO 8601), `cluster_time` by MongoDB's.
    """

    taken_at: str
    cluster_time: Timestamp
    version: str
    mongodb: str
    collections: list[Saved]
    format: int = FORMAT


def main() -> None:
    """Make a backup and print its folder."""
    parser = argparse.ArgumentParser(prog="python -m ops.backup", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("there is no backup: it was stopped"))
    with closing(parsed("OPERATOR_MONGO_URL", connect_without_deadline, MONGO_FORM).client) as client:
        try:
            print(make(client, folder))
        except (BackupFailed, DamagedBackup, PyMongoError, OSError) as problem:
            sys.exit(f"there is no backup: {problem}")


def make(client: Client, folder: Path, is_wanted: Wanted = lambda database: database not in OF_MONGODB) -> Path:
    """Write a backup of the databases that are wanted to a new folder in `folder`, verify it, and return its path.

    Raises BackupFailed, DamagedBackup, PyMongoError and OSError, and then leaves nothing behind.
    """
    path = folder / utc_now().strftime("%Y-%m-%dT%H-%M-%SZ")
    draft = path.with_name(path.name + DRAFT)
    draft.mkdir(mode=0o700, parents=True)
    try:
        _write_again(client, draft, is_wanted)
        verify(draft)
        return draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def verify(folder: Path) -> Manifest:
    """Read all files of a backup and return its manifest; raise DamagedBackup if one was altered."""
    try:
        manifest = read_manifest(folder)
        for saved in manifest.collections:
            with gzip.open(folder / saved.file) as file:
                if content_of(iter(lambda file=file: file.read(CHUNK), b"")) != saved.content:  # type: ignore[misc]
                    raise DamagedBackup(f"{folder / saved.file} is not what was written")
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedBackup(f"{folder} cannot be read: {error}") from error
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup; raise DamagedBackup if it is missing or incomplete."""
    try:
        told = json_util.loads((folder / MANIFEST).read_text())
        collections = [Saved(**{**each, "content": Content(**each["content"])}) for each in told["collections"]]
        manifest = Manifest(**{**told, "collections": collections})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedBackup(f"{folder} is no complete backup: {error}") from error
    if manifest.format != FORMAT:
        raise DamagedBackup(f"{folder} has the format {manifest.format}, not {FORMAT}")
    return manifest


def content_of(parts: Iterable[bytes]) -> Content:
    """Return the content of a collection, whose BSON comes in arbitrary chunks."""
    length, digest = 0, hashlib.sha256()
    for part in parts:
        length += len(part)
        digest.update(part)
    return Content(length, digest.hexdigest())


def bson_of(
    database: Database[dict[str, Any]], collection: str, session: ClientSession | None = None
) -> Iterator[bytes]:
    """Yield the documents of a collection in the order of their ids, as BSON, some at a time."""
    with database[collection].find_raw_batches(sort=[("_id", 1)], session=session) as batches:
        yield from batches


def listed(database: Database[dict[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and options of each collection; raise BackupFailed when one is no ordinary one."""
    for each in database.list_collections():
        if each["name"].startswith("system."):
            continue
        if each["type"] != "collection" or each["options"].get("capped"):
            raise BackupFailed(f"{database.name}.{each['name']} is no ordinary collection, and cannot be backed up")
        yield each["name"], each["options"]


def _write_again(client: Client, folder: Path, is_wanted: Wanted) -> None:
    for left in reversed(range(TRIES)):
        try:
            _write(client, folder, is_wanted)
            return
        except OperationFailure as error:
            if error.code == TOO_OLD:
                raise BackupFailed("it took longer than MongoDB's minSnapshotHistoryWindowInSeconds") from error
            if error.code != CHANGED_MEANWHILE or not left:
                raise
            log.info("a collection or an index is too new: once more")


def _write(client: Client, folder: Path, is_wanted: Wanted) -> None:
    databases = [client[name] for name in client.list_database_names() if is_wanted(name)]
    found = [(database, *each) for database in databases for each in listed(database)]
    with client.start_session(snapshot=True) as session:
        saved = [_save(folder, session, *each) for each in found]
        moment = session._snapshot_time  # which pymongo 4.15 exposes in no other way
    if moment is None:
        raise BackupFailed("there is no collection")
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    versions = {"version": project["version"], "mongodb": client.server_info()["version"]}
    manifest = Manifest(utc_now().isoformat(), moment, **versions, collections=saved)
    with _new(folder / MANIFEST) as file:
        file.write(json_util.dumps(asdict(manifest), json_options=json_util.CANONICAL_JSON_OPTIONS, indent=1).encode())


def _save(
    folder: Path, session: ClientSession, database: Database[dict[str, Any]], name: str, options: Mapping[str, Any]
) -> Saved:
    documents = 0

    def written(file: Any) -> Iterator[bytes]:
        nonlocal documents
        for part in bson_of(database, name, session):
            documents += _count(part)
            file.write(part)
            yield part

    indexes = [dict(index) for index in database[name].list_indexes()]
    path = folder / f"{database.name}.{name}.bson.gz"
    with _new(path) as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=FAST) as file:
        content = content_of(written(file))
    return Saved(database.name, name, options, indexes, documents, content)


def _count(part: bytes) -> int:
    """Return the number of whole documents in some BSON."""
    count = at = 0
    while at < len(part):
        at += LENGTH.unpack_from(part, at)[0]
        count += 1
    return count


@contextmanager
def _new(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that nobody else may read, for documents have personal data; it is synced to disk at the end."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


if __name__ == "__main__":
    logs.run(main)
