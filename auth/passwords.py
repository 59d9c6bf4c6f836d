"""Hashing passwords with argon2id, and estimating them, outside the event loop, which each would block for some 50 ms.

A bulkhead: one password is hashed at a time, and only as many callers wait as can be served before they give up; the
rest are refused at once. So in a flood of sign-ins those get 503, while the rest of the service, its heartbeats to the
broker included, keeps working, and the process stays small. One instance hashes some 20 a second on one core: to use
more cores, run more instances.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from eventlet import tpool
from eventlet.semaphore import Semaphore

from auth.strength import weakness
from libs import context
from libs.processes import give_back_blocks
from libs.rpc import ServiceUnavailable

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's minimum for argon2id: 19 MiB, two iterations, one degree of parallelism (Password Storage Cheat Sheet)."""

MAXIMUM_WAITING = 40
"""How many callers may wait for their turn; fewer than the service's max_workers, so that other calls are still served.
"""
WAIT_SECONDS = 4.0
BLOCK_BYTES = 2**20

give_back_blocks(BLOCK_BYTES)  # else each of eventlet's twenty threads would hold on to its 19 MiB
_DUMMY_HASH = HASHER.hash("nobody has this password")


def find_weakness(password: str, email: str) -> str | None:
    """Return why `password` is too easy to guess, as `weakness` does; raise ServiceUnavailable when too many wait."""
    found: str | None = _run_in_thread(weakness, password, email)
    return found


def hash_password(password: str) -> str:
    """Return the hash to store for `password`; raise ServiceUnavailable when too many wait."""
    result: str = _run_in_thread(HASHER.hash, password)
    return result


def find_matching(stored: str | None, forms: Sequence[str]) -> str | None:
    """Return the first of a password's `forms` that is the one of the hash `stored`, or None.

    Works as hard when there is no such user (None). Raises ServiceUnavailable when too many wait.
    """
    for form in forms:
        if _run_in_thread(_verify, stored or _DUMMY_HASH, form) and stored is not None:
            return form
    return None


def needs_rehash(stored: str) -> bool:
    """Return whether the hash was made with other parameters than the current ones."""
    return HASHER.check_needs_rehash(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


class _Turns:
    """Lets one caller hash at a time, in the order of their calls, and estimates how long the next one would wait."""

    def __init__(self) -> None:
        self._free = Semaphore()
        self._seconds = 0.0  # the duration of recent turns

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Wait for a turn; raise ServiceUnavailable at once when it would not come within `seconds`."""
        ahead = max(0, 1 - self._free.balance)
        is_too_late = ahead * self._seconds > seconds  # never so for the first in the queue
        if ahead > MAXIMUM_WAITING or is_too_late or not self._free.acquire(timeout=max(seconds, 0)):
            raise ServiceUnavailable("too many passwords wait to be checked")
        began = time.monotonic()
        try:
            yield
        finally:
            self._free.release()
            self._seconds += (time.monotonic() - began - self._seconds) / 5


_turns = _Turns()


def _run_in_thread(work: Callable[..., Any], *arguments: str) -> Any:
    with _turns.taken(context.remaining_seconds(WAIT_SECONDS)):
        return tpool.execute(work, *arguments)
