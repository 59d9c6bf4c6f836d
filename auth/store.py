"""The users and the revoked sessions, in MongoDB."""

from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from auth.domain import EmailInUse
from libs.clock import utc_now
from libs.events import Aggregates
from libs.events.catalogue import SessionRevoked
from libs.tokens import Claims

Document = dict[str, Any]


class UserStore:
    """Users are {_id, email, password_hash, created_at}; revoked sessions {_id: jti, version, user_id, expires_at}."""

    def __init__(self, db: Database[Document]) -> None:
        self.users = db.users
        self.revoked = Aggregates(db.revoked_sessions)

    def create_indexes(self) -> None:
        """Make addresses unique, and forget revoked sessions when they would have ended anyway."""
        self.users.create_index([("email", ASCENDING)], unique=True)
        self.revoked.collection.create_index([("expires_at", ASCENDING)], expireAfterSeconds=60)

    def add(self, email: str, password_hash: str) -> Document:
        """Insert a user and return it; raise EmailInUse."""
        user = {"_id": str(ObjectId()), "email": email, "password_hash": password_hash, "created_at": utc_now()}
        try:
            self.users.insert_one(user)
        except DuplicateKeyError as error:
            raise EmailInUse("Email in use") from error
        return user

    def find_by_email(self, email: str) -> Document | None:
        """Return the user with this address, or None."""
        return self.users.find_one({"email": email})

    def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replace the user's password hash."""
        self.users.update_one({"_id": user_id}, {"$set": {"password_hash": password_hash}})

    def revoke(self, session: Claims, expires_at: datetime) -> None:
        """End a session before its time, and tell every gateway; doing it again changes nothing."""
        fields = {"id": session.session_id, "version": 1, "user_id": session.subject, "expires_at": expires_at}
        try:
            self.revoked.add(fields, SessionRevoked, {**fields, "expires_at": expires_at.isoformat()})
        except DuplicateKeyError:
            return

    def is_revoked(self, session_id: str) -> bool:
        """Return whether this session was ended."""
        return self.revoked.find(session_id) is not None

    def revoked_sessions(self, now: datetime) -> list[Document]:
        """Return the ended sessions whose tokens would still be good, as {id, expires_at}."""
        found = self.revoked.find_all({"expires_at": {"$gt": now}})
        return [{"id": session["id"], "expires_at": session["expires_at"].isoformat()} for session in found]
