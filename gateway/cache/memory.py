"""One process's cache of the public reads, and how long it trusts an entry: by rules alone, without a broker.

A read is a ticket, by its id, or a list of tickets, by its query. What is kept was current when its reading began, and
is served while one of these shows that it is not older than TRUST_SECONDS:

- every change that was committed up to a moment of this process's own clock has been received (`trust`; the argument is
  in libs/events/watermarks.py), that moment is not longer ago, and no change that was received concerns it: a newer
  version of the ticket, or for a list any change;
- its reading began within the last YOUNG_SECONDS. This holds whatever was received, and so bounds the cost of lists
  while tickets change all the time. A ticket is never served in an older version than was received.

A moment at which its content changes by itself (a ticket's start) ends it, too. A process that receives nothing keeps
nothing. No errors are kept.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from prometheus_client import Counter

from libs.errors import is_unavailable
from libs.rpc import ServiceUnavailable

TRUST_SECONDS = 1.0
YOUNG_SECONDS = 0.25
JOIN_SECONDS = 0.5
"""How old a read in progress may be for another request to wait for it instead of reading by itself."""
IN_USE_SECONDS = 1.0
"""Two reads within so long are use, which is worth a watermark; so long after the last one use has ended."""
MOST_READS = 3
"""How often to read a ticket again that is older than an event; after that it is served as it is, and not kept."""
MOST_BYTES = 32 * 2**20
MOST_ENTRIES = 10_000
MOST_FORMS = 64
"""In how many forms (the API's, a page, its parts) one entry is kept; they depend on the exact query string."""
BYTES_EACH = 1000
"""About what a ticket takes in addition to the bytes of its forms."""

Key = Hashable
"""The id of a ticket, or a tuple: the query of a list."""
Read = Callable[[float], tuple[Any, int | None, float]]
"""`read(timeout)` asks the service, and returns what Entry has: the value, its version and `until`."""

reads = Counter(
    "public_reads",
    "Reads of what is the same for everybody. outcome: hit, or waited (for another's reading), or why a service was "
    "asked: missed (not kept), unsure (it may be out of date), own_change (the session has just changed something).",
    ("outcome",),
)


class Entry:
    """The result of a read: `value` (JSON), and the `forms` that were made of it."""

    __slots__ = ("began", "bytes", "forms", "generation", "key", "until", "value", "version")

    def __init__(self, key: Key, value: Any, version: int | None, until: float, began: float, generation: int) -> None:
        self.key = key
        self.value = value
        self.version = version
        """That of a ticket; None for a list."""
        self.until = until
        """The time, in seconds since 1970, at which the content changes by itself."""
        self.began = began
        self.generation = generation
        self.forms: dict[str, Any] = {}
        self.bytes = 0


class _Reading:
    """A read under way: the version that it must have at least, and at its end the entry or the error."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.least = 0
        self.done = threading.Event()
        self.entry: Entry | None = None
        self.error: Exception | None = None


class Memory:
    """The entries of a process. `clock` is monotonic, `wall` the time in seconds since 1970."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        most_bytes: int = MOST_BYTES,
        most_entries: int = MOST_ENTRIES,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        self._bytes = 0
        self._readings: dict[Key, _Reading] = {}
        self._generation = 0
        self._began_listening = 0
        """The generation at which the present queue was bound."""
        self._is_listening = False
        self._known_at = float("-inf")
        """Every change that was committed up to this moment has been received."""
        self._lock = threading.Lock()
        self._used_at = float("-inf")
        self.used = threading.Event()
        """Set when a watermark would help."""

    @property
    def is_in_use(self) -> bool:
        """Whether anything was read lately."""
        return self._clock() - self._used_at < IN_USE_SECONDS

    # messages from the broker

    def start_listening(self) -> None:
        """Start over, with a queue that was bound just now: changes may have been missed."""
        self.stop_listening()
        self._is_listening = True

    def stop_listening(self) -> None:
        """Keep nothing from now on: nothing is received any more."""
        with self._lock:
            self._is_listening = False
            self._known_at = float("-inf")
            self._generation += 1
            self._began_listening = self._generation
            self._entries.clear()
            self._bytes = 0

    def forget(self) -> None:
        """Render everything again: a part that is the same on all pages has changed."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def change(self, ticket_id: str, version: int) -> None:
        """Note that a ticket has this version now, or a newer one."""
        with self._lock:
            self._generation += 1
            entry = self._entries.get(ticket_id)
            if entry is not None and (entry.version or 0) < version:
                self._drop(ticket_id)
            reading = self._readings.get(ticket_id)
            if reading is not None:
                reading.least = max(reading.least, version)

    def trust(self, moment: float) -> None:
        """Note that every change that was committed up to `moment`, by `clock`, has been received."""
        self._known_at = max(self._known_at, moment)

    # reads

    def find(self, key: Key) -> Entry | None:
        """Return the entry if it may be served now."""
        now = self._clock()
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or not self._may_serve(entry, now):
                return None
            self._used_at = now
            self._entries.move_to_end(key)
            return entry

    def fetch(self, key: Key, read: Read, seconds: float) -> Entry:
        """Return the entry, from memory or by `read`.

        Of several requests for one key one reads, and the others wait for it. They share what the service answers, be
        it an error; when it does not answer, each tries again for what is left of its own `seconds`.
        """
        deadline, outcome = self._clock() + seconds, ""
        while True:
            now = self._clock()
            with self._lock:
                self._note_use(now)
                entry = self._entries.get(key)
                if entry is not None and self._may_serve(entry, now):
                    reads.labels(outcome or "hit").inc()
                    return entry
                reading = self._readings.get(key)
                is_own = reading is None or now - reading.began > JOIN_SECONDS
                if is_own:
                    reading = self._readings[key] = _Reading(now)
            assert reading is not None
            if is_own:
                reads.labels("unsure" if entry else "missed").inc()
                return self._read(key, reading, read, deadline)
            outcome = "waited"
            if not reading.done.wait(max(0.0, deadline - now)):
                raise ServiceUnavailable("another request's reading takes too long")
            if reading.entry is not None:
                reads.labels(outcome).inc()
                return reading.entry
            assert reading.error is not None
            if not is_unavailable(reading.error) or self._clock() >= deadline:
                raise reading.error.with_traceback(None)

    def read_past(self, key: Key, read: Read, seconds: float) -> Entry:
        """Return the result of a new `read`, for a session that has just changed something."""
        reads.labels("own_change").inc()
        return self._read_once(key, read, self._clock() + seconds)

    def keep(self, entry: Entry, form: str, made: Any, size: int) -> None:
        """Keep a form of an entry, of so many bytes, as long as the entry is kept."""
        with self._lock:
            if self._entries.get(entry.key) is entry and len(entry.forms) < MOST_FORMS:
                entry.forms[form] = made
                entry.bytes += size
                self._bytes += size
                self._make_room()

    def age(self, entry: Entry) -> float:
        """Return how many seconds ago the entry is known to have been current."""
        return max(0.0, self._clock() - max(entry.began, self._known_at if self._is_current(entry) else 0.0))

    def _is_current(self, entry: Entry) -> bool:
        """Return whether no change that was received concerns the entry."""
        return entry.version is not None or entry.generation == self._generation

    def _may_serve(self, entry: Entry, now: float) -> bool:
        is_young = now < entry.began + YOUNG_SECONDS
        is_known = now < self._known_at + TRUST_SECONDS and self._is_current(entry)
        return (is_young or is_known) and self._wall() < entry.until

    def _note_use(self, now: float) -> None:
        if now >= self._known_at + TRUST_SECONDS and now - self._used_at < IN_USE_SECONDS:
            self.used.set()
        self._used_at = now

    def _read(self, key: Key, reading: _Reading, read: Read, deadline: float) -> Entry:
        try:
            for _ in range(MOST_READS):
                entry = self._read_once(key, read, deadline)
                if (entry.version or 0) >= reading.least:  # else it was read before that change
                    break
            reading.entry = entry
        except BaseException as error:
            cut_off = ServiceUnavailable("the request that was reading has been cut off")
            reading.error = error if isinstance(error, Exception) else cut_off
            raise
        finally:
            with self._lock:
                if self._readings.get(key) is reading:
                    del self._readings[key]
                    if reading.entry is not None and (reading.entry.version or 0) >= reading.least:
                        self._store(reading.entry)
            reading.done.set()
        return entry

    def _read_once(self, key: Key, read: Read, deadline: float) -> Entry:
        generation, now = self._generation, self._clock()
        if now >= deadline:
            raise ServiceUnavailable("no answer in time")
        value, version, until = read(deadline - now)
        return Entry(key, value, version, until, now, generation)

    def _store(self, entry: Entry) -> None:
        if not self._is_listening or entry.generation < self._began_listening:
            return
        if entry.key in self._entries:
            self._drop(entry.key)
        entry.bytes = BYTES_EACH * (1 if entry.version is not None else 1 + len(entry.value["tickets"]))
        self._entries[entry.key] = entry
        self._bytes += entry.bytes
        self._make_room()

    def _drop(self, key: Key) -> None:
        self._bytes -= self._entries.pop(key).bytes

    def _make_room(self) -> None:
        while self._bytes > self._most_bytes or len(self._entries) > self._most_entries:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= dropped.bytes
