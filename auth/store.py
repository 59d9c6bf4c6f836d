"""The users and the revoked sessions, in MongoDB."""

from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from auth.domain import KNOWN_ADDRESSES, SESSION_SECONDS, EmailInUse
from libs.clock import utc_now
from libs.contracts.events import SessionRevoked
from libs.events import Aggregates
from libs.tokens import Claims

Document = dict[str, Any]


class UserStore:
    """Users are {_id, version, email, password_hash, generation, ended_until, addresses, created_at}.

    A token carries the generation of its user's sessions; raising it ends all sessions begun before. Until
    `ended_until` there may be tokens of an older generation that have not expired by themselves. `addresses` are
    fingerprints (keyed hashes) of network addresses that the user signed in from. Revoked sessions
    are {_id: jti, version, user_id, expires_at}.
    """

    def __init__(self, db: Database[Document]) -> None:
        self.users = Aggregates(db.users)
        self.revoked = Aggregates(db.revoked_sessions)

    def create_indexes(self) -> None:
        """Make addresses unique, and forget revoked sessions when they would have ended anyway."""
        self.users.collection.create_index([("email", ASCENDING)], unique=True)
        self.users.collection.create_index([("ended_until", ASCENDING)], sparse=True)
        self.revoked.collection.create_index([("expires_at", ASCENDING)], expireAfterSeconds=60)

    def add(self, email: str, password_hash: str, address: str) -> Document:
        """Insert a user who signs up from `address` and return it; raise EmailInUse."""
        user = {"email": email, "password_hash": password_hash, "version": 1, "generation": 0}
        user |= {"_id": str(ObjectId()), "addresses": [address], "created_at": utc_now()}
        try:
            self.users.collection.insert_one(user)
        except DuplicateKeyError as error:
            raise EmailInUse("Email in use") from error
        return {**user, "id": user["_id"]}

    def find(self, user_id: str) -> Document | None:
        """Return a user, or None."""
        return self.users.find(user_id)

    def find_by_email(self, email: str) -> Document | None:
        """Return the user with this address, or None."""
        return self.users.find_one({"email": email})

    def remember_address(self, user: Document, address: str) -> None:
        """Keep that the user signed in from `address`; of many, the latest."""
        if address not in user["addresses"]:
            unkeyed = 32  # digits of the plain hashes that were kept before
            known = [each for each in user["addresses"] if len(each) != unkeyed]
            kept = [*known, address][-KNOWN_ADDRESSES:]
            self.users.collection.update_one({"_id": user["id"]}, {"$set": {"addresses": kept}})

    def replace_hash(self, user: Document, password_hash: str) -> None:
        """Keep the same password under another hash, unless it was changed in the meantime."""
        where = {"_id": user["id"], "password_hash": user["password_hash"]}
        self.users.collection.update_one(where, {"$set": {"password_hash": password_hash}})

    def revoke_all(self, user: Document, **changes: Any) -> Document:
        """End all sessions of a user and make `changes`, in one write with the event; return the user.

        Raises VersionConflict when all were ended by somebody else since the user was read.
        """
        ended_until = utc_now() + timedelta(seconds=SESSION_SECONDS)
        raised = {"id": user["id"], "version": user["version"] + 1, "generation": user["generation"] + 1}
        body = {**raised, "user_id": user["id"], "expires_at": ended_until}
        self.users.save({**raised, "ended_until": ended_until, **changes}, SessionRevoked, body)
        return {**user, **raised, **changes}

    def revoke(self, session: Claims, expires_at: datetime) -> None:
        """End a session before its time, and publish it to every gateway; doing it again changes nothing."""
        fields = {"id": session.session_id, "version": 1, "user_id": session.subject, "expires_at": expires_at}
        try:
            self.revoked.add(fields, SessionRevoked, fields)
        except DuplicateKeyError:
            return

    def is_revoked(self, session_id: str, user_id: str, generation: int) -> bool:
        """Return whether this session was ended, alone or with all others of its user."""
        later = {"_id": user_id, "generation": {"$gt": generation}}
        return self.revoked.find(session_id) is not None or self.users.find_one(later) is not None

    def list_revoked(self, now: datetime, after: str, limit: int) -> list[Document]:
        """Return sessions that were ended and whose tokens would still be good, by their ids, beyond `after`."""
        where = {"_id": {"$gt": after}, "expires_at": {"$gt": now}}
        found = self.revoked.find_all(where, sort=[("_id", ASCENDING)], limit=limit)
        return [{"id": session["id"], "expires_at": session["expires_at"]} for session in found]

    def list_users_revoked(self, now: datetime, after: str, limit: int) -> list[Document]:
        """Return users all of whose sessions below a generation were ended, and those tokens would still be good."""
        where = {"_id": {"$gt": after}, "ended_until": {"$gt": now}}
        few = [("ended_until", ASCENDING)]  # an index of these users alone
        found = self.users.find_all(where, sort=[("_id", ASCENDING)], limit=limit, hint=few)
        return [
            {"id": user["id"], "generation": user["generation"], "expires_at": user["ended_until"]} for user in found
        ]
