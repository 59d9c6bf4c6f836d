"""Passwords hashed with the least work that argon2 allows, for tests that are not about that work."""

from functools import partial
from unittest.mock import patch

from argon2 import PasswordHasher

_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

cheap_passwords = partial(
    patch.multiple, "auth.passwords", HASHER=_HASHER, _DUMMY_HASH=_HASHER.hash("nobody has this password")
)
"""Replaces auth's hasher in this process, while a block runs or from `start()` on."""
