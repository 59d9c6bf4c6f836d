"""The state of the fake Stripe in one SQLite database: a file that survives kill -9, or memory."""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Document = dict[str, Any]

SCHEMA = """
create table if not exists objects (
    seq integer primary key autoincrement, id text unique not null, kind text not null, parent text,
    created integer not null, body text not null);
create index if not exists objects_by_kind on objects (kind, seq);
create index if not exists objects_by_parent on objects (kind, parent, seq);
create index if not exists objects_by_order on objects (json_extract(body, '$.metadata.order_id'), kind, seq);
create table if not exists replies (
    key text primary key, endpoint text not null, fingerprint text not null, status integer not null,
    body text not null, stored_at real not null);
create table if not exists deliveries (
    id integer primary key autoincrement, event text not null, type text not null, attempts integer not null default 0,
    feigned integer not null default 0, sent integer not null default 1, due real not null, after integer);
create table if not exists settings (name text primary key, value text not null);
"""
TABLES = ("objects", "replies", "deliveries", "settings")


class State:
    """The database: Stripe's objects as JSON documents, newest last; one transaction at a time."""

    def __init__(self, path: str | None = None) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self.db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=normal")  # the kernel keeps the writes of a killed process
        self.db.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block alone and keep all of it or, on an exception, nothing; blocks may nest."""
        with self._lock:
            if self._depth:
                yield
                return
            self.db.execute("begin immediate")
            self._depth += 1
            try:
                yield
            except BaseException:
                self.db.execute("rollback")
                raise
            else:
                self.db.execute("commit")
            finally:
                self._depth -= 1

    def add(self, document: Document, parent: str | None = None) -> None:
        """Store a new object; `parent` is the id that it belongs to (a charge to its PaymentIntent)."""
        row = (document["id"], document["object"], parent, document["created"], json.dumps(document))
        self.db.execute("insert into objects (id, kind, parent, created, body) values (?, ?, ?, ?, ?)", row)

    def save(self, document: Document) -> None:
        """Store the changes of a stored object."""
        self.db.execute("update objects set body = ? where id = ?", (json.dumps(document), document["id"]))

    def find(self, kind: str, id: str) -> Document | None:
        """Return the object of this kind and id, or None."""
        row = self.db.execute("select body from objects where id = ? and kind = ?", (id, kind)).fetchone()
        return json.loads(row["body"]) if row else None

    def newest(
        self, kind: str, parent: str | None = None, where: str = "1", values: tuple[Any, ...] = ()
    ) -> Iterator[Document]:
        """Yield objects of a kind, newest first, narrowed to a parent or by an SQL condition on columns and body."""
        if parent is not None:
            where, values = f"parent = ? and {where}", (parent, *values)
        query = f"select body from objects where kind = ? and {where} order by seq desc"  # noqa: S608 - values are bound
        for row in self.db.execute(query, (kind, *values)):
            yield json.loads(row["body"])

    def position(self, id: str) -> int | None:
        """Return the place of an object in the order of creation."""
        row = self.db.execute("select seq from objects where id = ?", (id,)).fetchone()
        return row["seq"] if row else None

    def setting(self, name: str, default: str) -> str:
        """Return a stored setting, as a control last set it."""
        row = self.db.execute("select value from settings where name = ?", (name,)).fetchone()
        return row["value"] if row else default

    def set(self, name: str, value: str) -> None:
        """Store a setting."""
        self.db.execute("insert or replace into settings (name, value) values (?, ?)", (name, value))

    def now(self) -> float:
        """Return the time by which keys age and search finds objects, which a control can move."""
        return time.time() + float(self.setting("clock_offset", "0"))

    def clear(self) -> None:
        """Delete everything."""
        with self.transaction():
            for table in TABLES:
                self.db.execute(f"delete from {table}")  # noqa: S608 - a constant

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self.db.close()
