"""The RPC methods of second factors and passkeys, a mixin of AuthService.

A session counts as confirmed for ten minutes after the sign-in, and again after its user provides everything that a
sign-in needs (a passkey, or the password and, with an app, a code), for which they get a `proof`. Setting up an app
invalidates both. How a user signs in can only be changed in a confirmed session.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from auth import authenticator, domain, passwords
from auth import passkeys as webauthn
from auth.domain import (
    CONFIRMED_FOR,
    AuthenticatorInUse,
    AuthenticatorUnreadable,
    ConfirmationNeeded,
    NoAuthenticator,
    PasskeyNotFound,
    SecondFactorNeeded,
    TookTooLong,
    WrongCode,
    WrongPasskey,
    WrongPassword,
)
from auth.seals import STORED, BrokenSeal
from libs.alarms import alarm
from libs.clock import utc_now
from libs.contracts.errors import DomainError
from libs.contracts.limits import MAXIMUM_ANSWER, MAXIMUM_CURRENT_PASSWORD, MAXIMUM_PASSKEY_ID
from libs.rpc import arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc
from libs.security_events import recorded

EXPECTED = (DomainError, InvalidArguments, Unauthenticated, Forbidden)
SECRET = ("password", "code", "answer", "proof", "pending", "setup", "ceremony")

SIGN_IN_WITHIN = timedelta(minutes=10)
SET_UP_WITHIN = timedelta(minutes=30)
ANSWER_WITHIN = timedelta(minutes=5)
# the purposes for which texts are sealed
SIGN_IN = "sign-in"
CONFIRMATION = "confirmation"
SET_UP = "set-up"
CREATION = "creation of a passkey"
REQUEST = "request for a passkey"


class AccountSecurity:
    """AuthService's methods about second factors and passkeys; uses AuthService's dependencies.

    Import the module, not this class: `libs.service` takes every class with entrypoints in a module for a service.
    """

    store: Any
    caller: Any
    counters: Any
    _find: Any
    seals: Any
    passkeys: Any
    _signed_in_user: Any
    _client_network: Any
    _start_session: Any

    # signing in

    def _require_second_factor(self, user: dict[str, Any], code: object, source: str, is_known: bool) -> None:
        """Check the code of a user who has a second factor; raise SecondFactorNeeded without a code, or WrongCode."""
        factor = self.store.factors.second_factor(user["id"])
        if factor is None:
            return
        if not code:
            pending = self.seals.seal(SIGN_IN, user["id"], str(user["generation"]))
            raise SecondFactorNeeded(domain.CODE_MESSAGE, pending=pending)
        with self.store.throttle.attempt(self.counters.of_code(user["id"], source, is_known), WrongCode):
            self._use_code(factor, code)

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def sign_in_with_code(self, pending: str, code: str, address: str | None = None) -> dict[str, Any]:
        """Finish a sign-in for which SecondFactorNeeded gave `pending`; returns what `sign_in` does.

        `address`: as in `sign_in`. Raises TookTooLong, WrongCode, TooManyAttempts.
        """
        user_id, generation = self._open_sealed(SIGN_IN, pending, SIGN_IN_WITHIN)
        source = self._client_network(address)
        user = self.store.find(user_id)
        if user is None or user["generation"] != int(generation):
            raise TookTooLong("Signing in took too long. Enter your email and your password again.")
        fingerprint = self.counters.fingerprint(source)
        with recorded("sign_in", who=user_id, what="with a code"):
            self._require_second_factor(user, code or " ", source, fingerprint in user["addresses"])
            session: dict[str, Any] = self._start_session(user)
        self.store.remember_address(user, fingerprint)
        return session

    @rpc(expected_exceptions=EXPECTED)
    def request_passkey(self) -> dict[str, Any]:
        """Return {"options", "ceremony"}: what a browser needs to sign in, or to confirm, with a passkey.

        `options` are for navigator.credentials.get; `ceremony` goes with the browser's answer within five minutes.
        """
        options = self.passkeys.request_options()
        return {"options": options, "ceremony": self.seals.seal(REQUEST, options["challenge"])}

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def sign_in_with_passkey(self, ceremony: str, answer: str, address: str | None = None) -> dict[str, Any]:
        """Begin a session for the user whose passkey signed the `answer` (JSON); returns what `sign_in` does.

        A passkey is two factors in one. `address`: as in `sign_in`. Raises TookTooLong, WrongPasskey, TooManyAttempts.
        """
        source = self._client_network(address)
        with (
            recorded("sign_in", what="with a passkey") as attempt,
            self.store.throttle.failures(self.counters.of_passkey(source), WrongPasskey),
        ):
            attempt.who = user_id = self._answering_user(ceremony, answer)
            user = self.store.find(user_id)
            if user is None:
                raise WrongPasskey("This passkey is not known here.")
            session: dict[str, Any] = self._start_session(user)
        self.store.remember_address(user, self.counters.fingerprint(source))
        return session

    def _answering_user(self, ceremony: str, answer: str) -> str:
        """Return the id of the user whose passkey gave this answer, which is then used up; raise WrongPasskey."""
        (challenge,) = self._open_sealed(REQUEST, ceremony, ANSWER_WITHIN)
        try:
            passkey_id, user_id = webauthn.credential_of(arguments.text("answer", answer, MAXIMUM_ANSWER))
            passkey = self.store.factors.passkey(passkey_id)
            if passkey is None or user_id not in ("", passkey["user_id"]):
                raise WrongPasskey("This passkey is not known here: it was removed, or belongs to another site.")
            sign_count = self.passkeys.verify_use(answer, challenge, passkey)
        except webauthn.InvalidAnswer as error:
            raise WrongPasskey("This passkey was not accepted. Try again.") from error
        if not self.store.factors.use_challenge(challenge):
            raise WrongPasskey("This passkey was not accepted. Try again.")
        self.store.factors.note_use(passkey_id, sign_count)
        return str(passkey["user_id"])

    # reauthentication

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def confirm(
        self,
        password: str | None = None,
        code: str | None = None,
        ceremony: str | None = None,
        answer: str | None = None,
    ) -> dict[str, str]:
        """Return {"proof"} that the caller could sign in: by `answer` with a passkey, else by the password.

        A user with an app needs a `code` as well as the password. The proof is good for ten minutes in this session.
        Raises IncompleteConfirmation, WrongPassword, WrongCode, WrongPasskey, TooManyAttempts.
        """
        user = self._signed_in_user()
        factor = self.store.factors.second_factor(user["id"])
        what = "passkey" if answer else "password and code" if factor else "password"
        with recorded("confirmation", who=user["id"], what=what):
            if answer:
                self._check_passkey(user, ceremony or "", answer)
            else:
                domain.check_confirmation(password, code, has_second_factor=factor is not None)
                self._check_password(user, arguments.text("password", password, MAXIMUM_CURRENT_PASSWORD))
                self._check_code(factor, code)
        return {"proof": self._proof(user, factor)}

    def _check_passkey(self, user: dict[str, Any], ceremony: str, answer: str) -> None:
        with self.store.throttle.attempt(self.counters.of_password(user["id"]), WrongPasskey):
            if self._answering_user(ceremony, answer) != user["id"]:
                raise WrongPasskey("This is the passkey of another account.")

    def _check_password(self, user: dict[str, Any], password: str) -> None:
        with self.store.throttle.attempt(self.counters.of_password(user["id"]), WrongPassword):
            if passwords.find_matching(user["password_hash"], domain.password_forms(password)) is None:
                raise WrongPassword("This is not your current password.")

    def _check_code(self, factor: dict[str, Any] | None, code: object) -> None:
        """Use up a code, if the user has a second factor; only after the password was verified."""
        if factor is not None:
            with self.store.throttle.attempt(self.counters.of_own_code(factor["_id"]), WrongCode):
                self._use_code(factor, code)

    def _proof(self, user: dict[str, Any], factor: dict[str, Any] | None) -> str:
        sealed: str = self.seals.seal(CONFIRMATION, *self._proven(user["id"], factor))
        return sealed

    def _proven(self, user_id: str, factor: dict[str, Any] | None) -> list[str]:
        """Return what a proof is bound to: another session, or another app, needs one of its own."""
        return [user_id, self.caller.session.session_id, str(factor["since"]) if factor else ""]

    def _confirmed_user(self, proof: str | None) -> dict[str, Any]:
        """Return the caller; raise ConfirmationNeeded unless they signed in, or gave proof, in the last ten minutes."""
        user: dict[str, Any] = self._signed_in_user()
        self._check_confirmed(proof, self.store.factors.second_factor(user["id"]))
        return user

    def _check_confirmed(self, proof: str | None, factor: dict[str, Any] | None) -> None:
        if not self._is_confirmed(proof, factor):
            raise ConfirmationNeeded("Confirm first that it is you.")

    def _is_confirmed(self, proof: str | None, factor: dict[str, Any] | None) -> bool:
        session = self.caller.session
        began = datetime.fromtimestamp(session.issued_at, UTC)
        if domain.is_confirmed(began, factor["since"] if factor else None, utc_now()):
            return True
        try:
            return bool(self.seals.open(CONFIRMATION, proof, CONFIRMED_FOR) == self._proven(session.subject, factor))
        except BrokenSeal:
            return False

    # the account's own page

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def account_security(self, proof: str | None = None) -> dict[str, Any]:
        """Return how the caller signs in.

        {"authenticator": since when, or None, "recovery_codes": how many are left, "passkeys": [{"id", "name",
        "is_synced", "created_at", "used_at"}], "changes": [{"what", "about", "at"}], newest first, "is_confirmed"}.
        """
        user = self._signed_in_user()
        factor = self.store.factors.second_factor(user["id"])
        shown = ("name", "is_synced", "created_at", "used_at")
        passkeys = self.store.factors.passkeys_of(user["id"])
        return {
            "authenticator": factor["since"] if factor else None,
            "recovery_codes": len(factor["recovery_codes"]) if factor else 0,
            "passkeys": [{"id": each["_id"], **{name: each[name] for name in shown}} for each in passkeys],
            "changes": self.store.factors.changes_of(user["id"]),
            "is_confirmed": self._is_confirmed(proof, factor),
        }

    # the authenticator app

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def new_authenticator(self, proof: str | None = None, setup: str | None = None) -> dict[str, str]:
        """Return {"secret", "uri", "setup"}: the secret for an app, and what `turn_on_authenticator` needs.

        Nothing is stored. Given the `setup` of an earlier answer, the secret is the same. Raises ConfirmationNeeded.
        """
        user = self._confirmed_user(proof)
        secret = self._open_setup(user, setup) if setup else authenticator.new_secret()
        uri = authenticator.uri(secret, domain.readable_email(user["email"]))
        return {"secret": secret, "uri": uri, "setup": setup or self.seals.seal(SET_UP, user["id"], secret)}

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def turn_on_authenticator(self, setup: str, code: str, proof: str | None = None) -> dict[str, Any]:
        """Require a code of the app for every sign-in with the password; return {"recovery_codes", "proof"}.

        `code` is the app's current one. Replaces any app that was used before. `proof` is as from `confirm`: earlier
        ones are no longer valid. Raises AuthenticatorInUse when this was called before, ConfirmationNeeded,
        TookTooLong, WrongCode, TooManyAttempts.
        """
        setup = arguments.text("setup", setup)
        user = self._signed_in_user()
        factor = self.store.factors.second_factor(user["id"])
        self._check_unused(setup, factor)
        self._check_confirmed(proof, factor)
        with recorded("second_factor", who=user["id"], what="authenticator app turned on"):
            secret = self._open_setup(user, setup)
            typed = authenticator.normalise_code(code)
            with self.store.throttle.attempt(self.counters.of_password(user["id"]), WrongCode):
                period = authenticator.matched_period(secret, typed, utc_now())
                if period is None:
                    raise WrongCode("This is not the code that the app shows now. Enter the newest one.")
            codes = authenticator.new_recovery_codes()
            stored, hashes = self.seals.seal(STORED, user["id"], secret), list(map(authenticator.hash_code, codes))
            factor = self.store.factors.turn_on(user["id"], authenticator.hash_setup(setup), stored, period, hashes)
            self.store.factors.note_change(user["id"], "authenticator_on")
        return {"recovery_codes": codes, "proof": self._proof(user, factor)}

    def _check_unused(self, setup: str, factor: dict[str, Any] | None) -> None:
        """Raise AuthenticatorInUse for a form that is sent again: its new recovery codes would replace those saved."""
        if factor and factor.get("setup") == authenticator.hash_setup(setup):
            raise AuthenticatorInUse("This authenticator app is set up already.")

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def turn_off_authenticator(self, proof: str | None = None) -> None:
        """Let the password alone suffice to sign in; invalidates the recovery codes. Raises ConfirmationNeeded."""
        user = self._confirmed_user(proof)
        with recorded("second_factor", who=user["id"], what="authenticator app turned off") as attempt:
            if self.store.factors.turn_off(user["id"]):
                self.store.factors.note_change(user["id"], "authenticator_off")
            else:
                attempt.what = "no authenticator app to turn off"

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def renew_recovery_codes(self, proof: str | None = None) -> dict[str, list[str]]:
        """Replace the recovery codes; return {"recovery_codes"}. Raises ConfirmationNeeded, NoAuthenticator."""
        user = self._confirmed_user(proof)
        with recorded("second_factor", who=user["id"], what="recovery codes renewed"):
            codes = authenticator.new_recovery_codes()
            if not self.store.factors.renew_recovery_codes(user["id"], list(map(authenticator.hash_code, codes))):
                raise NoAuthenticator("There is no authenticator app to recover from.")
            self.store.factors.note_change(user["id"], "recovery_codes_renewed")
        return {"recovery_codes": codes}

    @rpc(expected_exceptions=EXPECTED)
    def remove_second_factor(self, email: str, reason: str) -> bool:
        """Turn off the authenticator app of a user (`email` or id) who lost it and the recovery codes; for operators.

        Returns whether there was one. Passkeys stay, and the change is shown on the user's account page. `reason` is
        recorded.
        """
        self.caller.require("operator")
        arguments.reason("reason", reason)
        user = self._find(email)
        with recorded("second_factor", who=user["id"], what="removed by an operator") as attempt:
            if not self.store.factors.turn_off(user["id"]):
                attempt.what = "nothing for an operator to remove"
                return False
            self.store.factors.note_change(user["id"], "removed_by_operator")
        return True

    def _open_setup(self, user: dict[str, Any], setup: str | None) -> str:
        user_id, secret = self._open_sealed(SET_UP, setup, SET_UP_WITHIN)
        if user_id != user["id"]:
            raise TookTooLong("That took too long. Begin again.")
        return str(secret)

    def _use_code(self, factor: dict[str, Any] | None, code: object) -> None:
        """Use up a code of the app or a recovery code; raise WrongCode."""
        typed = authenticator.normalise_code(code)
        if factor is None or not (self._use_app(factor, typed) or self._use_recovery_code(factor, typed)):
            raise WrongCode("This code is wrong, or was used before. Enter the newest one, or a recovery code.")

    def _use_app(self, factor: dict[str, Any], code: str) -> bool:
        if not authenticator.is_of_app(code):
            return False
        user_id, secret = self._open_secret(factor)
        period = authenticator.matched_period(secret, code, utc_now())
        if user_id != factor["_id"] or period is None:
            return False
        return self.store.factors.use_period(factor, period, self.seals.seal(STORED, user_id, secret))

    def _open_secret(self, factor: dict[str, Any]) -> list[str]:
        try:
            content: list[str] = self.seals.open(STORED, factor["secret"])
        except BrokenSeal as error:
            alarm("unreadable_authenticator", f"no key in AUTH_ENCRYPTION_KEY decrypts the app of user {factor['_id']}")
            raise AuthenticatorUnreadable(
                "We cannot check the codes of your app now. Use a recovery code or a passkey, or contact us."
            ) from error
        return content

    def _use_recovery_code(self, factor: dict[str, Any], code: str) -> bool:
        if not authenticator.is_recovery_code(code):
            return False
        if not self.store.factors.use_recovery_code(factor, authenticator.hash_code(code)):
            return False
        self.store.factors.note_change(factor["_id"], "recovery_code_used")
        return True

    # passkeys

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def new_passkey(self, proof: str | None = None) -> dict[str, Any]:
        """Return {"options", "ceremony"}: what a browser needs to make a passkey for the caller, as `request_passkey`.

        `options` are for navigator.credentials.create. Raises ConfirmationNeeded, TooManyPasskeys.
        """
        user = self._confirmed_user(proof)
        passkeys = self.store.factors.passkeys_of(user["id"])
        domain.free_slot([passkey.get("slot") for passkey in passkeys])
        known = [passkey["_id"] for passkey in passkeys]
        options = self.passkeys.creation_options(user["id"], domain.readable_email(user["email"]), known)
        return {"options": options, "ceremony": self.seals.seal(CREATION, user["id"], options["challenge"])}

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def add_passkey(self, ceremony: str, answer: str, name: str, proof: str | None = None) -> None:
        """Let the caller sign in with the passkey that a browser made, and call it `name`.

        `answer` is the browser's, as JSON. Raises ConfirmationNeeded, TookTooLong, WrongPasskey, InvalidPasskey (its
        name), TooManyPasskeys.
        """
        user = self._confirmed_user(proof)
        with recorded("second_factor", who=user["id"], what="passkey added"):
            name = domain.check_passkey_name(name)
            user_id, challenge = self._open_sealed(CREATION, ceremony, ANSWER_WITHIN)
            try:
                passkey = self.passkeys.verify_creation(arguments.text("answer", answer, MAXIMUM_ANSWER), challenge)
            except webauthn.InvalidAnswer as error:
                raise WrongPasskey("This passkey was not accepted. Try again.") from error
            is_new = user_id == user["id"] and self.store.factors.use_challenge(challenge)
            if not is_new or not self.store.factors.add_passkey({**passkey, "user_id": user["id"], "name": name}):
                raise WrongPasskey("This passkey was not accepted. Try again.")
            self.store.factors.note_change(user["id"], "passkey_added", name)

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=SECRET)
    def remove_passkey(self, passkey_id: str, proof: str | None = None) -> None:
        """Remove a passkey of the caller's; the password stays as a way to sign in.

        Raises ConfirmationNeeded, PasskeyNotFound.
        """
        user = self._confirmed_user(proof)
        with recorded("second_factor", who=user["id"], what="passkey removed"):
            removed = self.store.factors.remove_passkey(
                user["id"], arguments.text("passkey_id", passkey_id, MAXIMUM_PASSKEY_ID)
            )
            if removed is None:
                raise PasskeyNotFound("There is no such passkey.")
            self.store.factors.note_change(user["id"], "passkey_removed", removed["name"])

    def _open_sealed(self, purpose: str, sealed: str | None, within: timedelta) -> list[str]:
        try:
            content: list[str] = self.seals.open(purpose, sealed, within)
        except BrokenSeal as error:
            raise TookTooLong("That took too long. Begin again.") from error
        return content
