"""Hashing passwords with argon2id, and estimating them, outside the event loop, which each would block for some 50 ms.

A bulkhead: as many are hashed at once as there are cores, and only so many wait. A flood of sign-ins gets 503, and the
rest of the service, its heartbeats to the broker included, goes on.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from eventlet import tpool
from eventlet.semaphore import Semaphore

from auth.strength import weakness
from libs import context
from libs.rpc import ServiceUnavailable

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's minimum for argon2id: 19 MiB, two iterations, one degree of parallelism (Password Storage Cheat Sheet)."""

MAXIMUM_WAITING = 30
"""How many callers may wait for a core; fewer than the service's max_workers, so that other calls are still served."""
WAIT_SECONDS = 4.0

_DUMMY_HASH = HASHER.hash("nobody has this password")
_waiting = Semaphore(MAXIMUM_WAITING)
_running = Semaphore(os.cpu_count() or 2)


def find_weakness(password: str, email: str) -> str | None:
    """Return why `password` is too easy to guess, as `weakness` does; raise ServiceUnavailable when too many wait."""
    found: str | None = _run_in_thread(weakness, password, email)
    return found


def hash_password(password: str) -> str:
    """Return the hash to keep for `password`; raise ServiceUnavailable when too many wait."""
    result: str = _run_in_thread(HASHER.hash, password)
    return result


def matching(stored: str | None, forms: Sequence[str]) -> str | None:
    """Return the first of a password's `forms` that is the one of the hash `stored`, or None.

    Works as hard when there is no such user (None). Raises ServiceUnavailable when too many wait.
    """
    for form in forms:
        if _run_in_thread(_verify, stored or _DUMMY_HASH, form) and stored is not None:
            return form
    return None


def needs_rehash(stored: str) -> bool:
    """Return whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _run_in_thread(work: Callable[..., Any], *arguments: str) -> Any:
    with _acquired(_waiting, 0), _acquired(_running, context.remaining_seconds(WAIT_SECONDS)):
        return tpool.execute(work, *arguments)


@contextmanager
def _acquired(semaphore: Semaphore, seconds: float) -> Iterator[None]:
    if not (semaphore.acquire(timeout=seconds) if seconds > 0 else semaphore.acquire(blocking=False)):
        raise ServiceUnavailable("too many passwords wait to be checked")
    try:
        yield
    finally:
        semaphore.release()
