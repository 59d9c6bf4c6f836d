"""Request coalescing (single flight): callers that ask for the same thing at the same time share one query.

No result is older than its call: a read that has begun serves no later caller. Later callers share the next one, which
begins when it ends. So under load one thing is read over and over, but never twice at a time; and `BatchedReads` reads
many things together.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from libs.errors import Unavailable

MOST_GATHERINGS = 10

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


class SharedReads(Generic[Key, Found]):
    """Calls `read(key)` for any number of threads or greenlets; they share the result and must not change it."""

    def __init__(self, read: Callable[[Key], Found]) -> None:
        self._read = read
        self._turns: dict[Key, threading.Lock] = {}
        self._waiting: dict[Key, Future[Found]] = {}
        self._interested: Counter[Key] = Counter()
        self._lock = threading.Lock()

    def __call__(self, key: Key) -> Found:
        """Return what `read` returns, or raise what it raises, in a call that began after this one."""
        with self._lock:
            shared = self._waiting.get(key)
            is_mine = shared is None
            if shared is None:
                shared = self._waiting[key] = Future()
            turn = self._turns.setdefault(key, threading.Lock())
            self._interested[key] += 1
        try:
            if is_mine:
                self._answer(key, turn, shared)
            return shared.result()
        finally:
            with self._lock:
                self._interested[key] -= 1
                if not self._interested[key]:
                    del self._interested[key], self._turns[key]

    def _answer(self, key: Key, turn: threading.Lock, shared: Future[Found]) -> None:
        try:
            with turn:
                self._close(key, shared)
                shared.set_result(self._read(key))
        except BaseException as error:
            self._close(key, shared)  # it may have been cut off while it waited for its turn
            shared.set_exception(_shared(error))
            raise

    def _close(self, key: Key, shared: Future[Found]) -> None:
        """Close the read to later callers."""
        with self._lock:
            if self._waiting.get(key) is shared:
                del self._waiting[key]


def _shared(error: BaseException) -> Exception:
    """Return the error for callers sharing a read that failed, or whose thread or greenlet was killed."""
    return error if isinstance(error, Exception) else Unavailable("a read that was shared has been cut off")


class BatchedReads(Generic[Key, Found]):
    """Calls `read(keys)` for at most `most` keys at once; its results, one for each key, must not be changed.

    Each read waits `gather_seconds` for others to join it, and again if some have: MOST_GATHERINGS times at most.
    Callers whose turn does not come within `turn_seconds` get Unavailable.
    """

    def __init__(
        self,
        read: Callable[[list[Key]], Sequence[Found]],
        most: int,
        gather_seconds: float = 0.0,
        turn_seconds: float = 5.0,
    ) -> None:
        self._read = read
        self._most = most
        self._turn_seconds = turn_seconds
        self._gather_seconds = gather_seconds
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._waiting = _Batch[Key, Found]()

    def __call__(self, key: Key) -> Found:
        """Return what `read` returns for this key, or raise what it raises, in a call that began after this one."""
        with self._lock:
            batch = self._waiting
            position = len(batch.keys)
            batch.keys.append(key)
            if position + 1 == self._most:
                self._waiting = _Batch()
        if position == 0:
            self._answer(batch)
        return batch.found.result()[position]

    def _answer(self, batch: "_Batch[Key, Found]") -> None:
        try:
            if not self._turn.acquire(timeout=self._turn_seconds):
                raise Unavailable("the reads before this one took too long")
            try:
                self._gather(batch)
                self._close(batch)
                batch.found.set_result(self._read(batch.keys))
            finally:
                self._turn.release()
        except BaseException as error:
            self._close(batch)  # it may have been cut off while it waited for its turn
            batch.found.set_exception(_shared(error))
            raise

    def _gather(self, batch: "_Batch[Key, Found]") -> None:
        joined = 0
        for _ in range(MOST_GATHERINGS if self._gather_seconds else 0):
            if self._waiting is not batch or len(batch.keys) == joined:
                break
            joined = len(batch.keys)
            time.sleep(self._gather_seconds)

    def _close(self, batch: "_Batch[Key, Found]") -> None:
        """Close the batch to later callers."""
        with self._lock:
            if self._waiting is batch:
                self._waiting = _Batch()


class _Batch(Generic[Key, Found]):
    """Keys that are read together, and their results."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.found: Future[Sequence[Found]] = Future()
