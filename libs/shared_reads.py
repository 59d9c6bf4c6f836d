"""Reads that are shared: who asks for the same thing at the same moment gets one answer, from one query.

No answer is older than the question: a read that has begun serves nobody who asks now. They share the next one, which
begins when it ends. So in a rush for one thing it is read over and over, but by one after the other.
"""

import threading
from collections import Counter
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")


class SharedReads(Generic[Key, Found]):
    """Calls `read(key)` for threads or greenlets that all may call this; what it returns must not be changed."""

    def __init__(self, read: Callable[[Key], Found]) -> None:
        self._read = read
        self._turns: dict[Key, threading.Lock] = {}
        self._waiting: dict[Key, Future[Found]] = {}
        self._interested: Counter[Key] = Counter()
        self._lock = threading.Lock()

    def __call__(self, key: Key) -> Found:
        """Return what `read` returns, or raise what it raises, called after this was."""
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
                with self._lock:
                    del self._waiting[key]
                shared.set_result(self._read(key))
        except BaseException as error:
            shared.set_exception(error)
            raise
