"""What may be stored and logged of a secret, so that another one is noticed."""

import hashlib

SALT = b"ticketing: which secret is in use"
COST = 2**12
"""Of scrypt: 4 MB and some 15 ms, so that nobody finds by trial a secret that a person thought of."""


def fingerprint(secret: str) -> str:
    """Return eight digits that are the same for the same secret, and from which nobody learns it."""
    return hashlib.scrypt(secret.encode(), salt=SALT, n=COST, r=8, p=1, dklen=4).hex()
