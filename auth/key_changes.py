"""Notices that the keys whose tokens are accepted have changed: at the start of auth, with which a rotation begins."""

from collections.abc import Collection
from contextlib import closing
from typing import Any

from nameko.extensions import DependencyProvider
from pymongo.database import Database

from libs.database import connect
from libs.errors import ignoring_unavailable
from libs.security_events import security_event
from libs.settings import KEY_FORM, MONGO_FORM, parsed
from libs.tokens import Verifier


class KeyChanges(DependencyProvider):
    """Logs at the start which public keys are new in TOKEN_PUBLIC_KEYS, and which are gone. Needs MONGO_URL too."""

    def setup(self) -> None:
        """Read the settings."""
        config, service = self.container.config, self.container.service_name
        self.database = parsed("MONGO_URL", connect, MONGO_FORM, config, service)
        self.verifier = parsed("TOKEN_PUBLIC_KEYS", Verifier, KEY_FORM, config)

    def start(self) -> None:
        """Compare with the keys at the last start of any instance; without the database, the next start does."""
        with closing(self.database.client), ignoring_unavailable():
            note_keys(self.database, self.verifier.public_keys)


def note_keys(database: Database[dict[str, Any]], public_keys: Collection[str]) -> None:
    """Keep which public keys are accepted now, and log what has changed since the last time."""
    update = {"$set": {"public_keys": sorted(public_keys)}}
    before = database.accepted_keys.find_one_and_update({"_id": "tokens"}, update, upsert=True)
    if before is None or set(before["public_keys"]) == set(public_keys):
        return
    now, then = set(public_keys), set(before["public_keys"])
    added, removed = _names(now - then), _names(then - now)
    security_event("key_rotation", who="auth", what=f"accepted: {added}; no longer accepted: {removed}")


def _names(public_keys: Collection[str]) -> str:
    return ", ".join(sorted(key.partition("=")[0] for key in public_keys)) or "none"
