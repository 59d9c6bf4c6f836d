"""The RPC methods of users' sessions, a mixin of AuthService: list them, end one; for operators, lock users out."""

from datetime import UTC, datetime
from typing import Any

from auth.domain import SessionNotFound, UserNotFound
from libs.clock import utc_now
from libs.contracts.errors import DomainError
from libs.contracts.limits import MAXIMUM_SESSION_DETAIL, MAXIMUM_SESSIONS_NOTED
from libs.events import VersionConflict, retry_on_conflict
from libs.rpc import arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc
from libs.security_events import recorded

EXPECTED = (DomainError, InvalidArguments, Unauthenticated, Forbidden, VersionConflict)
SESSIONS = "sessions"
LAST_MOMENT = 2**32


class AccountSessions:
    """What AuthService can do about the sessions of users. Its other dependencies are AuthService's."""

    store: Any
    caller: Any
    seals: Any
    _signed_in_user: Any

    @rpc(expected_exceptions=EXPECTED)
    def note_sessions(self, used: Any) -> None:
        """Store on which devices and from where sessions were used; for the gateway, which reports it now and then.

        `used`: a list of at most 100 {"id", "user_id", "generation", "issued_at", "expires_at", "used_at", "device",
        "address"}: times in seconds since 1970, the device's User-Agent.
        """
        self.caller.require("gateway")
        noted = [_seen(each) for each in arguments.items("used", used, MAXIMUM_SESSIONS_NOTED)]
        self.store.sessions.note(noted, self.seals)

    @rpc(expected_exceptions=EXPECTED)
    def list_sessions(self) -> list[dict[str, Any]]:
        """Return the caller's sessions, the last used first, at most 100.

        Each is {"id", "device", "address", "started_at", "used_at", "expires_at"}; the time of the last use is some
        minutes old at most.
        """
        user = self._signed_in_user()
        found: list[dict[str, Any]] = self.store.sessions.list(
            user["id"], user["generation"], utc_now(), self.seals, self.store.find_revoked
        )
        return found

    @rpc(expected_exceptions=EXPECTED)
    def end_session(self, session_id: str) -> dict[str, Any]:
        """End one of the caller's sessions; returns what `sign_out` does. Raises SessionNotFound."""
        user = self._signed_in_user()
        found = self.store.sessions.find(arguments.text("session_id", session_id), user["id"])
        if found is None or found["generation"] < user["generation"]:
            raise SessionNotFound("This session has ended already.")
        with recorded("sign_out", who=user["id"], what="another session"):
            number = self.store.revoke(found["_id"], user["id"], found["expires_at"])
        return {"kind": SESSIONS, "number": number}

    @rpc(expected_exceptions=EXPECTED)
    def find_user(self, user: str) -> dict[str, Any]:
        """Return a user (id or email) as `lock` does, and when they signed up (`created_at`); for operators."""
        self.caller.require("operator")
        found = self._find(user)
        return {**_user_view(found), "created_at": found["created_at"]}

    @rpc(expected_exceptions=EXPECTED)
    def lock(self, user: str, reason: str) -> dict[str, Any]:
        """Lock a user (id or email) out and end all their sessions; for operators.

        Their sessions end everywhere within three seconds. Returns {"id", "email", "locked_at"}.
        """
        self.caller.require("operator")
        arguments.reason("reason", reason)
        return self._end_all(user, locked_at=utc_now())

    @rpc(expected_exceptions=EXPECTED)
    def unlock(self, user: str, reason: str) -> dict[str, Any]:
        """Let a user sign in again; for operators. Returns what `lock` does."""
        self.caller.require("operator")
        arguments.reason("reason", reason)
        found = self._find(user)
        self.store.unlock(found)
        return _user_view({**found, "locked_at": None})

    @rpc(expected_exceptions=EXPECTED)
    def end_sessions(self, user: str, reason: str) -> dict[str, Any]:
        """End all sessions of a user, who may sign in again; for operators. Returns what `lock` does."""
        self.caller.require("operator")
        arguments.reason("reason", reason)
        return self._end_all(user)

    def _end_all(self, user: str, **changes: Any) -> dict[str, Any]:
        """End all sessions of a user with these changes, whatever else is changed at the same moment."""
        return _user_view(retry_on_conflict(lambda: self.store.revoke_all(self._find(user), **changes)))

    def _find(self, user: object) -> dict[str, Any]:
        name = arguments.text("user", user).strip()
        by_email = "@" in name
        found = self.store.find_by_email(name) if by_email else self.store.find(name)
        if found is None:
            raise UserNotFound("There is no such user.")
        return dict(found)


def _user_view(user: dict[str, Any]) -> dict[str, Any]:
    return {"id": user["id"], "email": user["email"], "locked_at": user.get("locked_at")}


def _seen(session: Any) -> dict[str, Any]:
    if not isinstance(session, dict):
        raise InvalidArguments("Each of used must be a session.")
    texts = {name: arguments.text(name, session.get(name)) for name in ("id", "user_id")}
    texts |= {name: arguments.text(name, session.get(name), MAXIMUM_SESSION_DETAIL) for name in ("device", "address")}
    times = {name: _moment(name, session.get(name)) for name in ("issued_at", "expires_at", "used_at")}
    generation = arguments.integer("generation", session.get("generation"), 0, LAST_MOMENT)
    return {**texts, "generation": generation, "started_at": times.pop("issued_at"), **times}


def _moment(name: str, value: object) -> datetime:
    return datetime.fromtimestamp(arguments.integer(name, value, 0, LAST_MOMENT), UTC)
