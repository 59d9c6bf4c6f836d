"""Which keys programs had at their last start, in the collection `accepted_keys`; a rotation is logged."""

from collections.abc import Collection, Sequence
from typing import Any

from pymongo.database import Database

from libs.security_events import security_event


def record_public_keys(database: Database[dict[str, Any]], public_keys: Collection[str]) -> None:
    """Record which public keys are accepted now, and log what has changed since the last time."""
    update = {"$set": {"public_keys": sorted(public_keys)}}
    before = database.accepted_keys.find_one_and_update({"_id": "tokens"}, update, upsert=True)
    if before is None or set(before["public_keys"]) == set(public_keys):
        return
    now, then = set(public_keys), set(before["public_keys"])
    added, removed = _names(now - then), _names(then - now)
    security_event("key_rotation", who="auth", what=f"accepted: {added}; no longer accepted: {removed}")


def record_secret_keys(database: Database[dict[str, Any]], who: str, setting: str, fingerprints: Sequence[str]) -> None:
    """Record the fingerprints of the keys in a setting, the one in use first, and log when they have changed."""
    update = {"$set": {"fingerprints": [*fingerprints]}}
    before = database.accepted_keys.find_one_and_update({"_id": setting}, update, upsert=True)
    if before is not None and before["fingerprints"] != [*fingerprints]:
        now, then = (", ".join(each) for each in (fingerprints, before["fingerprints"]))
        security_event("key_rotation", who=who, what=f"{setting}: {now}; before: {then}")


def _names(public_keys: Collection[str]) -> str:
    return ", ".join(sorted(key.partition("=")[0] for key in public_keys)) or "none"
