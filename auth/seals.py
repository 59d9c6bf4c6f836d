"""Seals: encrypted, authenticated and dated texts (Fernet), which auth alone can open.

The data of second factors are stored sealed; and so is the state that a browser keeps for auth between two requests, so
that auth stores nothing of an unfinished sign-in.
"""

import json
from datetime import timedelta
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

STORED = "stored secret"
"""The purpose for which the secrets of authenticator apps are sealed."""
ENCRYPTION_KEY_FORM = "BASE64, of 32 bytes, URL-safe; after a comma, older ones"


class BrokenSeal(Exception):
    """The text was not sealed by us, for this purpose, or recently enough."""


class Seals:
    """Seals with the first of the keys in `setting`, and opens what any of them sealed; raises ValueError."""

    def __init__(self, setting: str) -> None:
        self._keys = MultiFernet([Fernet(key.strip()) for key in setting.split(",")])

    def seal(self, purpose: str, *content: str) -> str:
        """Return a text from which only `open` with the same purpose returns `content`."""
        return self._keys.encrypt(json.dumps([purpose, *content]).encode()).decode()

    def open(self, purpose: str, sealed: Any, within: timedelta | None = None) -> list[str]:
        """Return what was sealed for `purpose`, and `within` that time if one is given; raise BrokenSeal."""
        seconds = None if within is None else int(within.total_seconds())
        try:
            found, *content = json.loads(self._keys.decrypt(sealed if isinstance(sealed, str) else "", seconds))
        except (InvalidToken, ValueError) as error:  # half a character is no ASCII
            raise BrokenSeal from error
        if found != purpose:
            raise BrokenSeal
        return [str(each) for each in content]
