"""The auth service: sign up, sign in, sign out, change the password."""

from datetime import UTC, datetime
from typing import Any

from auth import account_security, account_sessions, announcements, domain, operators, passwords, profiles
from auth.domain import SESSION_SECONDS, EmailInUse, UserLocked, WrongCredentials
from auth.key_rotation import KeyRotation
from auth.passkeys import Passkeys
from auth.seals import ENCRYPTION_KEY_FORM, Seals
from auth.store import NUMBER, UserStore
from libs import diagnostics
from libs.amqp.timer import timer
from libs.contracts.errors import DomainError
from libs.contracts.events import CATALOGUE
from libs.contracts.parts import FOLLOWERS
from libs.events import StoreProvider, VersionConflict
from libs.providers import Setting
from libs.rpc import arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, TokenProvider, Unauthenticated
from libs.rpc.entrypoint import rpc
from libs.security_events import recorded
from libs.settings import KEY_FORM, PUBLIC_URL, between, public_url
from libs.tokens import Claims, Signer

EXPECTED = (DomainError, InvalidArguments, Unauthenticated, Forbidden, VersionConflict)
SECRET = ("password", "current", "new", "code")
PAGE = 1000
NUMBER_SECONDS = 5
MOST_KEYS = 100
SESSIONS, USERS = "sessions", "users"
"""The kinds of revocations: of single sessions, and of all sessions of a user."""


def read_counters(key: str) -> domain.Counters:
    """Return the counters for auth's signing key, from which their secret is derived: one secret less to manage.

    With another key all counters start from zero, and users' addresses are unknown until their next sign-in.
    """
    return domain.Counters(Signer(key).derive_secret("auth: counters of attempts and known addresses"))


def read_passkeys(url: str) -> Passkeys:
    """Return the passkeys of the site at this address; raise ValueError."""
    return Passkeys(public_url(url))


class AuthService(
    account_security.AccountSecurity,
    account_sessions.AccountSessions,
    announcements.Announcements,
    operators.Operators,
    profiles.Profiles,
    diagnostics.Diagnostics,
):
    """Knows the users and begins and ends their sessions."""

    name = "auth"
    store = StoreProvider(UserStore, CATALOGUE)
    caller = TokenProvider()
    services = operators.LocalClient()
    key_rotation = KeyRotation()
    signer = Setting("SIGNING_KEY", Signer, KEY_FORM)
    counters = Setting("SIGNING_KEY", read_counters, KEY_FORM)
    seals = Setting("ENCRYPTION_KEY", Seals, ENCRYPTION_KEY_FORM)
    passkeys = Setting("PUBLIC_URL", read_passkeys, PUBLIC_URL[1])
    sign_ups_per_address = Setting("SIGN_UPS_PER_ADDRESS", *between(1, 1_000_000))

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def sign_up(self, email: str, password: str, address: str | None = None) -> dict[str, Any]:
        """Create a user and begin a session: {"user": {id, email}, "token"}. `address`: as in `sign_in`."""
        email = domain.check_sign_up(email, password)
        source = self._client_network(address)
        with (
            recorded("sign_up") as attempt,
            self.store.throttle.failures(self.counters.of_email_in_use(source), EmailInUse),
            self.store.throttle.counted(self.counters.of_sign_up(source, self.sign_ups_per_address)),
        ):
            accepted = domain.check_password("password", password, email, passwords.find_weakness)
            password_hash = passwords.hash_password(accepted)
            user = self.store.add(email, password_hash, self.counters.fingerprint(source))
            attempt.who = user["id"]
        return self._start_session(user)

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def sign_in(self, email: str, password: str, address: str | None = None, code: str | None = None) -> dict[str, Any]:
        """Begin a session for the user with this address and password: {"user": {id, email}, "token"}.

        A user with a second factor needs a `code` too: without one it raises SecondFactorNeeded, whose details have
        what `sign_in_with_code` needs, and with a wrong one WrongCode.

        `address` is the client's network address; only the gateway may pass it. Without one the call counts as coming
        from one unknown address. Raises TooManyAttempts by the rules of `domain.Counters`.
        """
        source, forms = self._client_network(address), domain.password_forms(_text(password))
        user, email = self.store.find_by_email(_text(email)), domain.comparable_email(_text(email))
        fingerprint = self.counters.fingerprint(source)
        is_known = user is not None and fingerprint in user["addresses"]
        with recorded("sign_in", who=user["id"] if user else self.counters.pseudonym(email)):
            with (
                self.store.throttle.failures(self.counters.of_address(source, is_known), WrongCredentials),
                self.store.throttle.attempt(self.counters.of_sign_in(email, source, is_known), WrongCredentials),
            ):
                matched = passwords.find_matching(user["password_hash"] if user else None, forms)
                if matched is None or user is None:
                    raise WrongCredentials("Wrong email or password.")
            self._require_second_factor(user, code, source, is_known)
            session = self._start_session(user)
        if matched != forms[0] or passwords.needs_rehash(user["password_hash"]):
            self.store.replace_hash(user, passwords.hash_password(forms[0]))
        self.store.remember_address(user, fingerprint)
        return session

    @rpc(expected_exceptions=EXPECTED)
    def sign_out(self) -> dict[str, Any]:
        """End the caller's session; return {"kind", "number"}, with which `is_effective` is called."""
        session = self.caller.session
        with recorded("sign_out", who=session.subject, what="this session"):
            number = self.store.revoke(
                session.session_id, session.subject, datetime.fromtimestamp(session.expires_at, UTC)
            )
        return {"kind": SESSIONS, "number": number}

    @rpc(expected_exceptions=EXPECTED)
    def sign_out_everywhere(self) -> dict[str, Any]:
        """End all sessions of the caller, this one included; returns what `sign_out` does."""
        user = self._signed_in_user()
        with recorded("sign_out", who=user["id"], what="all sessions"):
            return {"kind": USERS, "number": self.store.revoke_all(user)[NUMBER]}

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def change_password(self, current: str, new: str, code: str | None = None) -> dict[str, Any]:
        """Replace the caller's password, end all their sessions and begin a new one: {"user", "token", "revocation"}.

        A user with an authenticator app needs a `code` too. `revocation` is what `sign_out` returns. Raises
        WrongPassword, InvalidPassword, IncompleteConfirmation, WrongCode, TooManyAttempts.
        """
        user = self._signed_in_user()
        with recorded("password_change", who=user["id"]):
            domain.check_change(current, new)
            factor = self.store.factors.second_factor(user["id"])
            domain.check_confirmation(current, code, has_second_factor=factor is not None)
            self._check_password(user, _text(current))
            accepted = domain.check_password("new", new, user["email"], passwords.find_weakness)
            self._check_code(factor, code)
            changed = self.store.revoke_all(user, password_hash=passwords.hash_password(accepted))
            self.store.factors.note_change(user["id"], "password_changed")
        return {**self._start_session(changed), "revocation": {"kind": USERS, "number": changed[NUMBER]}}

    @rpc(expected_exceptions=EXPECTED)
    def current_user(self) -> dict[str, Any]:
        """Return the caller as {id, email}; raise Unauthenticated when the session was ended."""
        user = self._signed_in_user()
        return _shown(user)

    @rpc(expected_exceptions=EXPECTED)
    def is_revoked(self, session_id: str, user_id: str = "", generation: int = 0) -> bool:
        """Return whether a session was ended, alone or with all others of its user; for the parts that follow."""
        self.caller.require(*FOLLOWERS)
        return bool(self.store.is_revoked(str(session_id), str(user_id), int(generation)))

    @rpc(expected_exceptions=EXPECTED)
    def revocations(self, process: str, sessions: int, users: int) -> dict[str, Any]:
        """Return the revocations after the numbers `sessions` and `users`; record that `process` has all up to them.

        Returns {"sessions": [{"id", "expires_at", "number"}], "users": [{"id", "generation", "expires_at", "number"}],
        "is_all"}: a user's sessions below that generation have ended; `is_all` is false if there are more.
        """
        self.caller.require(*FOLLOWERS)
        sessions, users = _number(SESSIONS, sessions), _number(USERS, users)
        self.store.followers.record_poll(arguments.text("process", process), sessions, users)
        ended = {
            SESSIONS: self.store.list_revoked(sessions, PAGE),
            USERS: self.store.list_users_revoked(users, PAGE),
        }
        return {**ended, "is_all": all(len(page) < PAGE for page in ended.values())}

    @rpc(expected_exceptions=EXPECTED)
    def is_effective(self, kind: str, number: int) -> bool:
        """Return whether every process has a revocation, by the `kind` and `number` that `sign_out` returned."""
        self.caller.require("gateway")
        kind = arguments.choice("kind", kind, (SESSIONS, USERS))
        return bool(self.store.followers.all_know(kind, _number("number", number)))

    @rpc(expected_exceptions=EXPECTED)
    def note_keys(self, fingerprints: Any) -> None:
        """Record the fingerprints of the keys that sign cookies, the current one first; for the gateway."""
        self.caller.require("gateway")
        known = arguments.texts("fingerprints", fingerprints, MOST_KEYS)
        self.store.record_secret_keys("gateway", "GATEWAY_SECRET_KEY", known)

    @timer(interval=NUMBER_SECONDS, eager=True)
    def number_older(self) -> None:
        """Number the revocations by instances of the previous version, which may still be running."""
        self.store.number_older()

    def _signed_in_user(self) -> dict[str, Any]:
        session: Claims = self.caller.session
        user: dict[str, Any] | None = self.store.find(session.subject)
        if user is None or self.store.is_revoked(session.session_id, session.subject, session.generation):
            raise Unauthenticated("Please sign in.")
        return user

    def _client_network(self, address: str | None) -> str:
        if address is None:
            return domain.network(None)
        self.caller.require("gateway")
        return domain.network(address)

    def _start_session(self, user: dict[str, Any]) -> dict[str, Any]:
        if user.get("locked_at"):
            raise UserLocked("Your account is locked. Contact us to have it unlocked.")
        shown = _shown(user)
        token = self.signer.mint(user["id"], SESSION_SECONDS, email=shown["email"], generation=user["generation"])
        return {"user": shown, "token": token}


def _shown(user: dict[str, Any]) -> dict[str, str]:
    return {"id": user["id"], "email": domain.readable_email(user["email"])}


def _number(name: str, value: object) -> int:
    return arguments.integer(name, value, 0, 2**53)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
