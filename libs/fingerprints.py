"""Fingerprints of secrets, which may be stored and logged, so that a changed secret is noticed."""

import hashlib

SALT = b"ticketing: which secret is in use"
COST = 2**12
"""Parameters of scrypt: 4 MB and some 15 ms, so that a secret that a person thought up cannot be found by trial."""


def fingerprint(secret: str) -> str:
    """Return eight digits that are the same for the same secret, and do not disclose it."""
    return hashlib.scrypt(secret.encode(), salt=SALT, n=COST, r=8, p=1, dklen=4).hex()
