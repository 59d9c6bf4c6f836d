"""Second factors and passkeys in memory, a part of FakeServices."""

import json
import secrets
from datetime import UTC, datetime
from typing import Any

import pyotp

from libs.clock import iso
from libs.rpc import RemoteError

SITE = "http://localhost:8000"
RECOVERY_CODES = [f"abcdef-ghjkmn-pqrstu-vwxyz{letter}" for letter in "abcdefghjk"]


def wrong_code(code):
    return RemoteError("WrongCode", "This code is wrong, or was used before.")


def invalid(name, field, message):
    return RemoteError(name, message, {"errors": [{"field": field, "message": message}]})


class FakeFactors:
    """Any answer of a known passkey is accepted. `needs_confirmation`: whether sessions count as begun long ago."""

    needs_confirmation = False
    users: dict[str, Any]
    _session: Any

    def _require_code(self, user, code):
        if "secret" not in user:
            return
        if not code:
            raise RemoteError("SecondFactorNeeded", "Enter a code.", {"pending": f"pending {user['email']}"})
        self._use_code(user, code)

    def _use_code(self, user, code):
        if code in user.get("codes", ()):
            user["codes"].remove(code)
            self._note(user, "recovery_code_used")
        elif "secret" not in user or not pyotp.TOTP(user["secret"]).verify(code, valid_window=1):
            raise wrong_code(code)

    def auth_sign_in_with_code(self, caller, pending, code, address):
        assert address
        user = self.users.get(str(pending).removeprefix("pending "))
        if user is None:
            raise RemoteError("TookTooLong", "Signing in took too long.")
        self._require_code(user, code)
        return self._session(user)

    def auth_request_passkey(self, caller):
        challenge = secrets.token_urlsafe(32)
        options = {"challenge": challenge, "timeout": 60000, "rpId": "localhost", "allowCredentials": []}
        return {"options": {**options, "userVerification": "required"}, "ceremony": f"request {challenge}"}

    def _answering_user(self, ceremony, answer):
        if not str(ceremony).startswith("request "):
            raise RemoteError("TookTooLong", "That took too long. Begin again.")
        try:
            ident = json.loads(answer)["id"]
        except (ValueError, TypeError, KeyError):
            ident = None
        for user in self.users.values():
            for passkey in user.get("passkeys", ()):
                if passkey["id"] == ident:
                    passkey["used_at"] = iso(datetime.now(UTC))
                    return user
        raise RemoteError("WrongPasskey", "This passkey is not known here.")

    def auth_sign_in_with_passkey(self, caller, ceremony, answer, address):
        assert address
        return self._session(self._answering_user(ceremony, answer))

    def auth_confirm(self, caller, password=None, code=None, ceremony=None, answer=None):
        user = self.users[caller.email]
        if answer:
            if self._answering_user(ceremony, answer) is not user:
                raise RemoteError("WrongPasskey", "This is the passkey of another account.")
        else:
            self._require_all(user, password, code)
            if password != user["password"]:
                raise RemoteError("WrongPassword")
            if "secret" in user:
                self._use_code(user, code)
        return {"proof": self._proof(caller, user)}

    def _require_all(self, user, password, code):
        """Refuse a user who gives less than signing in needs."""
        missing = [] if password else [("current", "Enter your password.")]
        missing += [("code", "Enter a code of your app.")] if "secret" in user and not code else []
        if missing:
            errors = [{"field": field, "message": message} for field, message in missing]
            raise RemoteError("IncompleteConfirmation", missing[0][1], {"errors": errors})

    def _proof(self, caller, user):
        return f"proof {caller.session_id} {user.get('secret')}"

    def _confirmed(self, caller, proof):
        user = self.users[caller.email]
        if self.needs_confirmation and proof != self._proof(caller, user):
            raise RemoteError("ConfirmationNeeded")
        return user

    def auth_account_security(self, caller, proof=None):
        user = self.users[caller.email]
        return {
            "authenticator": user.get("since"),
            "recovery_codes": len(user.get("codes", ())),
            "passkeys": user.get("passkeys", []),
            "changes": user.get("changes", [])[::-1],
            "is_confirmed": not self.needs_confirmation or proof == self._proof(caller, user),
        }

    def auth_new_authenticator(self, caller, proof=None, setup=None):
        user = self._confirmed(caller, proof)
        secret = self._secret(setup) if setup else pyotp.random_base32()
        uri = pyotp.TOTP(secret).provisioning_uri(name=user["email"], issuer_name="ticketing")
        return {"secret": secret, "uri": uri, "setup": f"setup {secret}"}

    def _secret(self, setup):
        if not str(setup).startswith("setup "):
            raise RemoteError("TookTooLong", "That took too long. Begin again.")
        return setup.removeprefix("setup ")

    def auth_turn_on_authenticator(self, caller, setup, code, proof=None):
        if setup == f"setup {self.users[caller.email].get('secret')}":
            raise RemoteError("AuthenticatorInUse")
        user, secret = self._confirmed(caller, proof), self._secret(setup)
        if not pyotp.TOTP(secret).verify(code, valid_window=1):
            raise wrong_code(code)
        user.update(secret=secret, codes=[*RECOVERY_CODES], since=iso(datetime.now(UTC)))
        self._note(user, "authenticator_on")
        return {"recovery_codes": RECOVERY_CODES, "proof": self._proof(caller, user)}

    def auth_turn_off_authenticator(self, caller, proof=None):
        user = self._confirmed(caller, proof)
        if user.pop("secret", None):
            del user["codes"], user["since"]
            self._note(user, "authenticator_off")

    def auth_renew_recovery_codes(self, caller, proof=None):
        user = self._confirmed(caller, proof)
        if "secret" not in user:
            raise RemoteError("NoAuthenticator")
        user["codes"] = [code.upper() for code in RECOVERY_CODES]
        self._note(user, "recovery_codes_renewed")
        return {"recovery_codes": user["codes"]}

    def auth_new_passkey(self, caller, proof=None):
        user = self._confirmed(caller, proof)
        named = {"id": "dXNlcg", "name": user["email"], "displayName": user["email"]}
        options = {
            "rp": {"name": "ticketing", "id": "localhost"},
            "user": named,
            "challenge": secrets.token_urlsafe(32),
        }
        return {"options": options, "ceremony": f"creation {options['challenge']}"}

    def auth_add_passkey(self, caller, ceremony, answer, name, proof=None):
        user = self._confirmed(caller, proof)
        if not isinstance(name, str) or not name.strip():
            raise invalid("InvalidPasskeyName", "name", "Enter a name for the passkey.")
        if not str(ceremony).startswith("creation "):
            raise RemoteError("TookTooLong", "That took too long. Begin again.")
        made = {"id": json.loads(answer)["id"], "name": name.strip(), "is_synced": False, "used_at": None}
        user.setdefault("passkeys", []).append(made | {"created_at": iso(datetime.now(UTC))})
        self._note(user, "passkey_added", name.strip())

    def auth_remove_passkey(self, caller, passkey_id, proof=None):
        user = self._confirmed(caller, proof)
        found = [passkey for passkey in user.get("passkeys", ()) if passkey["id"] == passkey_id]
        if not found:
            raise RemoteError("PasskeyNotFound")
        user["passkeys"].remove(found[0])
        self._note(user, "passkey_removed", found[0]["name"])

    def _note(self, user, what, about=""):
        user.setdefault("changes", []).append({"what": what, "about": about, "at": iso(datetime.now(UTC))})
