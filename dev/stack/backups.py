"""Backups of a stack's databases, and their restoration, after which RabbitMQ and Redis start empty."""

import shutil
from contextlib import closing
from pathlib import Path

from pymongo.errors import PyMongoError

from dev.stack.layout import Layout
from dev.stack.stack import Stack
from libs.contracts.parts import OPERATOR
from libs.database import connect_without_deadline
from ops import backup
from ops import restore as restoration

IN_TRANSIT = ("rabbitmq/data", "redis/appendonlydir")
"""The folders of data that would not match a restored database; all of them are rebuilt from it."""


class Failed(Exception):
    """A backup was not made or not restored; the message says why."""


def make(stack: Layout, folder: Path) -> Path:
    """Back up the databases of a running stack to a new folder in `folder`, and return that; raise Failed."""
    with closing(connect_without_deadline(stack.mongo_url_for(OPERATOR)).client) as client:
        try:
            return backup.make(client, folder)
        except (backup.BackupFailed, backup.DamagedBackup, PyMongoError, OSError) as problem:
            raise Failed(f"there is no backup: {problem}") from problem


def restore(stack: Stack, path: Path, replace: bool) -> None:
    """Restore a backup to the servers of a stack that does not run; raise Failed, and StackError if it runs.

    `replace`: whether it may delete the documents that are there.
    """
    with stack, closing(connect_without_deadline(stack.mongo_url("admin")).client) as client:
        try:
            restoration.restore(client, path, replace)
        except restoration.NotEmpty as problem:
            raise Failed(f"{problem}: REPLACE=1 deletes them and all others before it restores") from problem
        except (backup.DamagedBackup, restoration.NotRestored, PyMongoError) as problem:
            raise Failed(f"the backup is not restored: {problem}") from problem
        stack.stop_program("rabbitmq", "redis")
        for folder in IN_TRANSIT:
            shutil.rmtree(stack.folder / folder, ignore_errors=True)
