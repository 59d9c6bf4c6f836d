"""Second factors and passkeys in the database, and the changes to them that users are shown."""

from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from auth.domain import AuthenticatorInUse, free_slot
from auth.seals import STORED, BrokenSeal, Seals
from libs.clock import utc_now
from libs.errors import Unavailable

Document = dict[str, Any]

CHANGES_KEPT = 20
CHANGES_SHOWN = 10
CHALLENGES_KEPT = timedelta(days=1)
"""How long a challenge that was used is remembered, by any host's clock; it is good for some minutes."""
SLOT = "slot"
SLOT_TRIES = 20
"""How often to look for another free slot when others take it at the same moment."""
HAS_SLOT = {SLOT: {"$exists": True}}
FACTOR_INDEXES = {
    "passkeys": [
        IndexModel([("user_id", ASCENDING)]),
        IndexModel([("user_id", ASCENDING), (SLOT, ASCENDING)], unique=True, partialFilterExpression=HAS_SLOT),
    ],
    "used_challenges": [IndexModel([("forget_at", ASCENDING)], expireAfterSeconds=0)],
}


class Factors:
    """Documents of four collections.

    `second_factors` {_id: user, secret (sealed), setup (a hash), last_period, recovery_codes (hashes), since}: only of
    users who have one; an earlier version stored no `setup`. A code of the app is accepted only for a period after the
    last, and a recovery code is removed by its use.
    `passkeys` {_id: credential, user_id, slot, name, public_key, sign_count, is_synced, created_at, used_at}: `slot` is
    unique among those of one user, so that nobody has more than there are slots.
    `used_challenges` {_id, forget_at}: no passkey's answer is accepted twice.
    `account_changes` {_id: user, changes: [{what, about, at}]}: the newest last.
    """

    def __init__(self, db: Database[Document]) -> None:
        self._second_factors = db.second_factors
        self._passkeys = db.passkeys
        self._used_challenges = db.used_challenges
        self._changes = db.account_changes

    # the authenticator app

    def second_factor(self, user_id: str) -> Document | None:
        """Return a user's second factor, or None."""
        return self._second_factors.find_one({"_id": user_id})

    def turn_on(self, user_id: str, setup: str, secret: str, period: int, hashes: list[str]) -> Document:
        """Make this the user's second factor and return it; raise AuthenticatorInUse if it is that of this set-up.

        `setup` is a hash, `secret` is sealed, and the code of `period` was used.
        """
        factor = {"setup": setup, "secret": secret, "last_period": period, "recovery_codes": hashes, "since": utc_now()}
        try:
            self._second_factors.update_one({"_id": user_id, "setup": {"$ne": setup}}, {"$set": factor}, upsert=True)
        except DuplicateKeyError as error:
            raise AuthenticatorInUse("This authenticator app is set up already.") from error
        return {"_id": user_id, **factor}

    def turn_off(self, user_id: str) -> bool:
        """Remove a user's second factor and its recovery codes; return whether there was one."""
        return self._second_factors.delete_one({"_id": user_id}).deleted_count == 1

    def use_period(self, factor: Document, period: int, secret: str) -> bool:
        """Mark the code of `period` as used; return False if it, or a later one, was used before.

        `secret` is the factor's, sealed again: with the newest key.
        """
        where = {"_id": factor["_id"], "since": factor["since"], "last_period": {"$lt": period}}
        update = {"$set": {"last_period": period, "secret": secret}}
        return self._second_factors.update_one(where, update).modified_count == 1

    def reencrypt(self, seals: Seals) -> tuple[int, list[str]]:
        """Re-encrypt the secrets of all apps; return how many, and the users whose secrets no key decrypts."""
        renewed, unreadable = 0, []
        for factor in self._second_factors.find({}, {"secret": 1}):
            try:
                content = seals.open(STORED, factor["secret"])
            except BrokenSeal:
                unreadable.append(factor["_id"])
                continue
            update = {"$set": {"secret": seals.seal(STORED, *content)}}  # unless it was replaced just now
            renewed += self._second_factors.update_one(factor, update).modified_count
        return renewed, unreadable

    def use_recovery_code(self, factor: Document, code_hash: str) -> bool:
        """Use up a recovery code; return whether it was valid."""
        where = {"_id": factor["_id"], "recovery_codes": code_hash}
        return self._second_factors.update_one(where, {"$pull": {"recovery_codes": code_hash}}).modified_count == 1

    def renew_recovery_codes(self, user_id: str, hashes: list[str]) -> bool:
        """Replace all recovery codes; return whether the user has a second factor."""
        update = {"$set": {"recovery_codes": hashes}}
        return self._second_factors.update_one({"_id": user_id}, update).matched_count == 1

    # passkeys

    def passkeys_of(self, user_id: str) -> list[Document]:
        """Return a user's passkeys, the oldest first."""
        return list(self._passkeys.find({"user_id": user_id}, sort=[("created_at", ASCENDING)]))

    def passkey(self, passkey_id: str) -> Document | None:
        """Return a passkey by the id of its credential, or None."""
        return self._passkeys.find_one({"_id": passkey_id})

    def add_passkey(self, passkey: Document) -> bool:
        """Insert a passkey; return whether nobody has it. Raises TooManyPasskeys."""
        for _ in range(SLOT_TRIES):
            slot = free_slot([each.get(SLOT) for each in self.passkeys_of(passkey["user_id"])])
            try:
                self._passkeys.insert_one({**passkey, SLOT: slot, "created_at": utc_now(), "used_at": None})
            except DuplicateKeyError as error:
                if SLOT not in (error.details or {}).get("keyPattern", {}):
                    return False
            else:
                return True
        raise Unavailable("too many passkeys are added at the same moment")

    def note_use(self, passkey_id: str, sign_count: int) -> None:
        """Note that a passkey was used, and its signature counter."""
        update = {"$set": {"used_at": utc_now()}, "$max": {"sign_count": sign_count}}
        self._passkeys.update_one({"_id": passkey_id}, update)

    def remove_passkey(self, user_id: str, passkey_id: str) -> Document | None:
        """Remove a user's passkey and return it, or None if the user has no such one."""
        return self._passkeys.find_one_and_delete({"_id": passkey_id, "user_id": user_id})

    def use_challenge(self, challenge: str) -> bool:
        """Mark a challenge as used; return False if it was used before."""
        try:
            self._used_challenges.insert_one({"_id": challenge, "forget_at": utc_now() + CHALLENGES_KEPT})
        except DuplicateKeyError:
            return False
        return True

    # changes that users are shown

    def note_change(self, user_id: str, what: str, about: str = "") -> None:
        """Record that the way in which a user signs in was changed."""
        change: dict[str, str | datetime] = {"what": what, "about": about, "at": utc_now()}
        push = {"$push": {"changes": {"$each": [change], "$slice": -CHANGES_KEPT}}}
        self._changes.update_one({"_id": user_id}, push, upsert=True)

    def changes_of(self, user_id: str) -> list[Document]:
        """Return the latest changes, newest first: [{"what", "about", "at"}]."""
        found = self._changes.find_one({"_id": user_id}) or {"changes": []}
        return found["changes"][: -CHANGES_SHOWN - 1 : -1]
