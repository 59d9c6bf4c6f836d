"""The auth service: sign up, sign in, sign out."""

from datetime import UTC, datetime
from typing import Any

from nameko.extensions import DependencyProvider

from auth import passwords
from auth.domain import SESSION_SECONDS, Refused, WrongCredentials, check_password, normalised_email
from auth.store import UserStore
from libs.clock import utc_now
from libs.events import Stored
from libs.rpc.caller import CallerProvider, Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc
from libs.settings import required
from libs.tokens import Signer

EXPECTED = (Refused, Unauthenticated, Forbidden)


class Sessions(DependencyProvider):
    """Mints the tokens of users' sessions. Needs SIGNING_KEY in config.yml."""

    def setup(self) -> None:
        """Read the private key; stop the start when there is none."""
        self.signer = Signer(required("SIGNING_KEY", self.container.config))

    def get_dependency(self, worker_ctx: Any) -> Signer:
        """Return the signer."""
        return self.signer


class AuthService:
    """Knows the users and begins and ends their sessions."""

    name = "auth"
    store = Stored(UserStore)
    caller = CallerProvider()
    sessions = Sessions()

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=("password",))
    def sign_up(self, email: str, password: str) -> dict[str, Any]:
        """Create a user and begin a session: {"user": {id, email}, "token"}."""
        email = normalised_email(email)
        password_hash = passwords.hashed(check_password(password, passwords.COMMON))
        return self._begin(self.store.add(email, password_hash))

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=("password",))
    def sign_in(self, email: str, password: str) -> dict[str, Any]:
        """Begin a session for the user with this address and password: {"user": {id, email}, "token"}."""
        known = isinstance(email, str) and isinstance(password, str)
        user = self.store.find_by_email(email.strip().lower()) if known else None
        if not passwords.matches(user["password_hash"] if user else None, str(password)) or user is None:
            raise WrongCredentials("Wrong email or password.")
        if passwords.is_outdated(user["password_hash"]):
            self.store.set_password_hash(user["_id"], passwords.hashed(password))
        return self._begin(user)

    @rpc(expected_exceptions=EXPECTED)
    def sign_out(self) -> None:
        """End the caller's session everywhere."""
        session = self.caller.session
        self.store.revoke(session, datetime.fromtimestamp(session.expires_at, UTC))

    @rpc(expected_exceptions=EXPECTED)
    def current_user(self) -> dict[str, Any]:
        """Return the caller as {id, email}; raise Unauthenticated when the session was ended."""
        session = self.caller.session
        if self.store.is_revoked(session.session_id):
            raise Unauthenticated("Please sign in.")
        return {"id": session.subject, "email": session.email}

    @rpc(expected_exceptions=EXPECTED)
    def is_revoked(self, session_id: str) -> bool:
        """Return whether a session was ended; for the gateway."""
        self.caller.require("gateway")
        return bool(self.store.is_revoked(str(session_id)))

    @rpc(expected_exceptions=EXPECTED)
    def revoked_sessions(self) -> list[dict[str, Any]]:
        """Return the ended sessions whose tokens would still be good, as [{id, expires_at}]; for the gateway."""
        self.caller.require("gateway")
        found: list[dict[str, Any]] = self.store.revoked_sessions(utc_now())
        return found

    def _begin(self, user: dict[str, Any]) -> dict[str, Any]:
        token = self.sessions.mint(user["_id"], SESSION_SECONDS, email=user["email"])
        return {"user": {"id": user["_id"], "email": user["email"]}, "token": token}
