"""Rounds are measured again while others use the processors that this machine is on: that slows it by up to half."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import mean, median
from typing import TypeVar

T = TypeVar("T")

SLICES, HASH_ITERATIONS = 20, 3000
"""A probe: so often on each of two processors at once, some two milliseconds of hashing."""
LOOKS, PAUSE_SECONDS = 3, 0.3
SLOWER = 1.2
"""How many times as long as the quickest so far a probe may take; beside others it takes 1.3 to 1.9 times as long."""


def probe() -> float:
    """Return how many seconds a fixed computation takes while both processors do it."""
    with ThreadPoolExecutor(2) as pool:
        return mean(pool.map(_hash, range(2)))


def _hash(_processor: int) -> float:
    return median(_slice() for _ in range(SLICES))


def _slice() -> float:
    began = time.perf_counter()
    hashlib.pbkdf2_hmac("sha512", b"password", b"salt", HASH_ITERATIONS)  # releases the interpreter's lock
    return time.perf_counter() - began


class Patience:
    """Waits until the machine is quiet, and measures again what others have disturbed, for so many seconds in all."""

    quickest = float("inf")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def measured(self, measure: Callable[[], T]) -> T:
        """Return what `measure` returns, of a quiet moment if there is one in time."""
        while True:
            began = time.monotonic()
            while self.seconds > time.monotonic() - began and not self._is_quiet():
                pass
            measured_at = time.monotonic()
            self.seconds -= measured_at - began
            found = measure()
            took = time.monotonic() - measured_at
            if self.seconds < took or self._is_quiet():
                return found
            self.seconds -= took

    def _is_quiet(self) -> bool:
        """Return whether one of a few probes is about as quick as the quickest of all."""
        for _ in range(LOOKS):
            took = probe()
            Patience.quickest = min(Patience.quickest, took)
            if took <= Patience.quickest * SLOWER:
                return True
            time.sleep(PAUSE_SECONDS)
        return False
