"""Hashing passwords with argon2id, outside the event loop, which it would block for some 50 ms a time."""

from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from eventlet import tpool

HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""OWASP's minimum for argon2id: 19 MiB, two iterations, one degree of parallelism (Password Storage Cheat Sheet)."""

COMMON = frozenset((Path(__file__).parent / "common-passwords.txt").read_text().split())

_NOBODY = HASHER.hash("nobody has this password")


def hashed(password: str) -> str:
    """Return the hash to keep for `password`."""
    result: str = tpool.execute(HASHER.hash, password)
    return result


def matches(stored: str | None, password: str) -> bool:
    """Return whether `password` is the one of the hash `stored`; takes as long when there is no such user (None)."""
    right: bool = tpool.execute(_verify, stored or _NOBODY, password)
    return right and stored is not None


def is_outdated(stored: str) -> bool:
    """Return whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
