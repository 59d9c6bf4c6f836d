"""Passkeys (WebAuthn): the requests to a browser, and verifying its answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from libs.contracts.texts import is_storable

SITE_NAME = "Ticketing"


class InvalidAnswer(Exception):
    """The answer is not to this challenge, not from this site, not signed by this passkey, or no answer at all."""


@dataclass(frozen=True)
class Passkeys:
    """The passkeys of the site at `url`, its address as browsers send it in `Origin`: they belong to its host name."""

    url: str

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def creation_options(self, user_id: str, email: str, known: list[str]) -> dict[str, Any]:
        """Return what a browser needs to make a discoverable passkey, on a device without a `known` one.

        The device has to verify its user by a fingerprint, a PIN or the like, so that it is two factors in one.
        """
        webauthn = _library()
        structs = webauthn.helpers.structs
        options = webauthn.generate_registration_options(
            rp_id=self._host,
            rp_name=SITE_NAME,
            user_id=user_id.encode(),
            user_name=email,
            user_display_name=email,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.REQUIRED,
                user_verification=structs.UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=_bytes(each)) for each in known],
        )
        return _json(options)

    def request_options(self) -> dict[str, Any]:
        """Return what a browser needs to let its user choose any passkey of this site."""
        webauthn = _library()
        required = webauthn.helpers.structs.UserVerificationRequirement.REQUIRED
        return _json(webauthn.generate_authentication_options(rp_id=self._host, user_verification=required))

    def verify_creation(self, answer: str, challenge: str) -> dict[str, Any]:
        """Return the new passkey: {_id, public_key, sign_count, is_synced}; raise InvalidAnswer."""
        with _reading():
            found = _library().verify_registration_response(
                credential=answer,
                expected_challenge=_bytes(challenge),
                expected_rp_id=self._host,
                expected_origin=self.url,
                require_user_verification=True,
            )
        return {
            "_id": _library().helpers.bytes_to_base64url(found.credential_id),
            "public_key": found.credential_public_key,
            "sign_count": found.sign_count,
            "is_synced": found.credential_backed_up,
        }

    def verify_use(self, answer: str, challenge: str, passkey: dict[str, Any]) -> int:
        """Return the passkey's signature counter, if `answer` is signed with it; raise InvalidAnswer."""
        with _reading():
            found = _library().verify_authentication_response(
                credential=answer,
                expected_challenge=_bytes(challenge),
                expected_rp_id=self._host,
                expected_origin=self.url,
                credential_public_key=passkey["public_key"],
                credential_current_sign_count=passkey["sign_count"],
                require_user_verification=True,
            )
        return found.new_sign_count


def credential_of(answer: str) -> tuple[str, str]:
    """Return the ids that an answer names: of the passkey, and of its user if it names one; raise InvalidAnswer."""
    with _reading():
        found = json.loads(answer)
        passkey_id, handle = str(found["id"]), found["response"].get("userHandle") or ""
        user_id = _bytes(handle).decode()
    if not is_storable(passkey_id):  # which JSON escapes allow
        raise InvalidAnswer("half of a character in the id")
    return passkey_id, user_id


def _json(options: Any) -> dict[str, Any]:
    shaped: dict[str, Any] = json.loads(_library().options_to_json(options))
    return shaped


def _bytes(text: str) -> bytes:
    decoded: bytes = _library().base64url_to_bytes(text)
    return decoded


@contextmanager
def _reading() -> Iterator[None]:
    """Raise InvalidAnswer in place of any exception of the libraries that a forged answer may cause."""
    try:
        yield
    except Exception as error:
        raise InvalidAnswer(str(error)) from error


def _library() -> ModuleType:
    """Return webauthn, which is loaded for the first passkey: with its dependencies for attestations it takes 5 MB."""
    import webauthn

    return webauthn
