"""The users and the revoked sessions, in MongoDB."""

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from auth.announcement_store import AnnouncementStore
from auth.domain import KNOWN_ADDRESSES, SESSION_SECONDS, EmailInUse, comparable_email, email_forms
from auth.factors import FACTOR_INDEXES, Factors
from auth.followers import FORGET_SECONDS, Followers
from auth.known_keys import record_secret_keys
from auth.operator_store import OperatorStore
from auth.sessions import SESSION_INDEXES, Sessions
from libs.clock import utc_now
from libs.contracts.events import SessionRevoked
from libs.errors import Unavailable
from libs.events import OUTBOX_INDEX, Aggregates, Schema
from libs.schema import drop_index
from libs.throttle import FORGET_INDEX, MongoThrottle

Document = dict[str, Any]

NUMBER = "revocation_no"
NUMBERS = IndexModel([(NUMBER, ASCENDING)], unique=True, sparse=True)
NUMBER_TRIES = 100
"""How often to try for the next number when others take it at the same moment."""
KEPT = timedelta(days=1)
"""How long a revocation is kept after the token's expiry, by any host's clock, even one in another time zone."""


def renew_emails(db: Database[Document]) -> int:
    """Normalize the addresses of an earlier version, except those that another user has already."""
    renewed = 0
    for user in db.users.find({"email": re.compile("[^ -~]")}, {"email": 1}):
        email = comparable_email(user["email"])
        if email != user["email"]:
            with suppress(DuplicateKeyError):
                renewed += db.users.update_one(user, {"$set": {"email": email}}).modified_count
    return renewed


UNKEYED = "[0-9a-f]{32}$"
"""A plain hash, as version 0.1 stored of network addresses and emails; trying all addresses reverses it."""


def forget_unkeyed_addresses(db: Database[Document]) -> int:
    """Remove the addresses that are stored as plain hashes; users' next sign-ins make theirs known again."""
    plain = re.compile(f"^{UNKEYED}")
    return db.users.update_many({"addresses": plain}, {"$pull": {"addresses": plain}}).modified_count


def forget_unkeyed_counters(db: Database[Document]) -> int:
    """Remove the counters of attempts under plain hashes, which are no longer used."""
    return db.attempts.delete_many({"_id": re.compile(f":{UNKEYED}")}).deleted_count


def let_the_newest_revocation_stay(db: Database[Document]) -> int:
    """Drop the index by which version 0.1 let MongoDB delete what had expired, the newest too."""
    return drop_index(db.revoked_sessions, "expires_at_1")


def number_revocations(db: Database[Document]) -> int:
    """Number the revocations from before there were numbers."""
    return UserStore(db).number_older()


class UserStore:
    """Users are {_id, version, email, password_hash, generation, ended_until, addresses, created_at}.

    A token carries the generation of its user's sessions; raising it ends all sessions that began before. Until
    `ended_until` there may be tokens of an older generation that have not expired. `addresses` are fingerprints (keyed
    hashes) of network addresses from which the user has signed in; `locked_at` is set if an operator has locked the
    user out; buyers know the user by `name`. Revoked sessions are {_id: jti, version, user_id, expires_at,
    revocation_no}. The counters of `libs.throttle` are in `attempts`.

    `revocation_no` numbers the revocations, of sessions and of users separately: each is one more than the newest, and
    unique, so that a process that has a number has received all lower ones. The newest is never deleted.
    """

    schema = Schema(
        {
            "users": [
                OUTBOX_INDEX,
                IndexModel([("email", ASCENDING)], unique=True),
                IndexModel([("ended_until", ASCENDING)], sparse=True),
                NUMBERS,
            ],
            "revoked_sessions": [
                OUTBOX_INDEX,
                IndexModel([("expires_at", ASCENDING), (NUMBER, ASCENDING)]),
                NUMBERS,
            ],
            "followers": [IndexModel([("until", ASCENDING)], expireAfterSeconds=FORGET_SECONDS)],
            "attempts": [FORGET_INDEX],
            "announcements": [OUTBOX_INDEX],
            **FACTOR_INDEXES,
            **OperatorStore.indexes,
            **SESSION_INDEXES,
        },
        steps=[
            renew_emails,
            forget_unkeyed_addresses,
            forget_unkeyed_counters,
            let_the_newest_revocation_stay,
            number_revocations,
        ],
    )

    def __init__(self, db: Database[Document]) -> None:
        self.users = Aggregates(db.users)
        self.revoked = Aggregates(db.revoked_sessions)
        self.announcements = Aggregates(db.announcements)
        self.announcement = AnnouncementStore(self.announcements)
        self.followers = Followers(db.followers)
        self.factors = Factors(db)
        self.operators = OperatorStore(db)
        self.sessions = Sessions(db)
        self.throttle = MongoThrottle(db.attempts)
        self.record_secret_keys = partial(record_secret_keys, db)

    def add(self, email: str, password_hash: str, address: str) -> Document:
        """Insert a user who signs up from `address` and return it; raise EmailInUse.

        The id is public, so it does not reveal the time of the sign-up, and cannot be guessed from other ids.
        """
        user = {"email": email, "password_hash": password_hash, "version": 1, "generation": 0}
        user |= {"_id": secrets.token_hex(12), "addresses": [address], "created_at": utc_now()}
        try:
            self.users.collection.insert_one(user)
        except DuplicateKeyError as error:
            raise EmailInUse("Email in use") from error
        return {**user, "id": user["_id"]}

    def find(self, user_id: str) -> Document | None:
        """Return a user, or None."""
        return self.users.find(user_id)

    def find_by_email(self, typed: str) -> Document | None:
        """Return the user with this address, however it is typed, or None."""
        found = (self.users.find_one({"email": form}) for form in email_forms(typed))
        return next(filter(None, found), None)

    def remember_address(self, user: Document, address: str) -> None:
        """Remember that the user signed in from `address`; only the latest addresses are kept."""
        if address not in user["addresses"]:
            kept = [*user["addresses"], address][-KNOWN_ADDRESSES:]
            self.users.collection.update_one({"_id": user["id"]}, {"$set": {"addresses": kept}})

    def replace_hash(self, user: Document, password_hash: str) -> None:
        """Store a new hash of the same password, unless that was changed meanwhile."""
        where = {"_id": user["id"], "password_hash": user["password_hash"]}
        self.users.collection.update_one(where, {"$set": {"password_hash": password_hash}})

    def revoke_all(self, user: Document, **changes: Any) -> Document:
        """End all sessions of a user and make `changes`, in one write with the event; return the user.

        Raises VersionConflict if somebody else has ended all of them since the user was read.
        """
        now = utc_now()
        ended_until = now + timedelta(seconds=SESSION_SECONDS)
        raised = {"id": user["id"], "version": user["version"] + 1, "generation": user["generation"] + 1}
        body = {**raised, "user_id": user["id"], "expires_at": ended_until}

        def save(number: int) -> None:
            self.users.save({**raised, "ended_until": ended_until, NUMBER: number, **changes}, SessionRevoked, body)

        number = _save_numbered(self.users, save)
        forgotten = {"ended_until": {"$lt": now - KEPT}, NUMBER: {"$lt": number}}
        self.users.collection.update_many(forgotten, {"$unset": {"ended_until": "", NUMBER: ""}})
        return {**user, **raised, **changes, NUMBER: number}

    def keep_name(self, user_id: str, name: str | None) -> None:
        """Store the name by which buyers know a user, None for none."""
        self.users.collection.update_one({"_id": user_id}, {"$set": {"name": name}})

    def profiles(self, ids: Sequence[str]) -> list[Document]:
        """Return [{"id", "name", "member_since"}] of the users that exist; `member_since` is a month, YYYY-MM."""
        found = self.users.collection.find({"_id": {"$in": [*ids]}}, {"name": 1, "created_at": 1})
        return [
            {"id": each["_id"], "name": each.get("name"), "member_since": f"{each['created_at']:%Y-%m}"}
            for each in found
        ]

    def unlock(self, user: Document) -> None:
        """Let a user sign in again."""
        self.users.collection.update_one({"_id": user["id"]}, {"$unset": {"locked_at": ""}})

    def revoke(self, session_id: str, user_id: str, expires_at: datetime) -> int:
        """End a session before its time, with the event; return its number. Doing it again changes nothing."""
        fields = {"id": session_id, "version": 1, "user_id": user_id, "expires_at": expires_at}
        try:
            number = _save_numbered(
                self.revoked, lambda number: self.revoked.add({**fields, NUMBER: number}, SessionRevoked, fields)
            )
        except DuplicateKeyError:
            return int((self.revoked.find(session_id) or {})[NUMBER])
        forgotten = {"expires_at": {"$lt": utc_now() - KEPT}, NUMBER: {"$lt": number}, "outbox_at": {"$exists": False}}
        self.revoked.collection.delete_many(forgotten)
        return number

    def is_revoked(self, session_id: str, user_id: str, generation: int) -> bool:
        """Return whether this session was ended, alone or with all others of its user."""
        newest = ReadConcern("linearizable")  # a former primary would answer with stale data
        revoked, users = (each.collection.with_options(read_concern=newest) for each in (self.revoked, self.users))
        if revoked.find_one({"_id": session_id}, {"_id": 1}) is not None:
            return True
        return users.find_one({"_id": user_id, "generation": {"$gt": generation}}, {"_id": 1}) is not None

    def find_revoked(self, session_ids: Sequence[str]) -> set[str]:
        """Return which of these sessions were ended individually, by their ids."""
        return {found["_id"] for found in self.revoked.collection.find({"_id": {"$in": [*session_ids]}}, {"_id": 1})}

    def list_revoked(self, beyond: int, limit: int) -> list[Document]:
        """Return [{"id", "expires_at", "number"}], sessions that were ended, by their numbers, `beyond` one."""
        found = _list_numbered(self.revoked, beyond, limit, "expires_at")
        return [{"id": each["_id"], "expires_at": each["expires_at"], "number": each[NUMBER]} for each in found]

    def list_users_revoked(self, beyond: int, limit: int) -> list[Document]:
        """Return [{"id", "generation", "expires_at", "number"}], users whose sessions below a generation were ended."""
        found = _list_numbered(self.users, beyond, limit, "generation", "ended_until")
        names = {"id": "_id", "generation": "generation", "expires_at": "ended_until", "number": NUMBER}
        return [{name: each[field] for name, field in names.items()} for each in found]

    def number_older(self) -> int:
        """Number the revocations by programs of the previous version, which do not number them; return how many."""
        return self._number(self.revoked, "expires_at") + self._number(self.users, "ended_until")

    def _number(self, aggregates: Aggregates, until: str) -> int:
        where = {until: {"$gt": utc_now() - KEPT}, NUMBER: {"$exists": False}}
        older = list(aggregates.collection.find(where, {"_id": 1}))
        for found in older:
            one = {"_id": found["_id"], NUMBER: {"$exists": False}}
            _save_numbered(aggregates, partial(_set_number, aggregates, one))
        return len(older)


def _set_number(aggregates: Aggregates, one: Document, number: int) -> None:
    aggregates.collection.update_one(one, {"$set": {NUMBER: number}})


def _list_numbered(aggregates: Aggregates, beyond: int, limit: int, *fields: str) -> list[Document]:
    """Return documents by their numbers, but only those that no election can roll back: such numbers are reused."""
    kept = aggregates.collection.with_options(read_concern=ReadConcern("majority"))
    return list(kept.find({NUMBER: {"$gt": beyond}}, (NUMBER, *fields), sort=[(NUMBER, ASCENDING)], limit=limit))


def _save_numbered(aggregates: Aggregates, save: Callable[[int], Any]) -> int:
    """Call `save` with the number after the newest, again if somebody else took it meanwhile; return the number."""
    for _ in range(NUMBER_TRIES):
        newest = aggregates.collection.find_one({NUMBER: {"$gt": 0}}, {NUMBER: 1}, sort=[(NUMBER, DESCENDING)])
        number = int(newest[NUMBER]) + 1 if newest else 1
        try:
            save(number)
            return number
        except DuplicateKeyError as error:
            if NUMBER not in (error.details or {}).get("keyPattern", {}):
                raise
    raise Unavailable("too many sessions are ended at the same moment")
