"""Passkeys (WebAuthn): what a browser is asked for, and whether its answer holds."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import webauthn
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from libs.contracts.texts import is_storable

SITE_NAME = "Ticketing"
UNREADABLE = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What the library raises for answers that no browser gives."""


class InvalidAnswer(Exception):
    """The answer is not to this challenge, not from this site, not signed by this passkey, or no answer at all."""


@dataclass(frozen=True)
class Passkeys:
    """The passkeys of the site at `url`, its address as browsers say it in `Origin`: they belong to its host name."""

    url: str

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def creation_options(self, user_id: str, email: str, known: list[str]) -> dict[str, Any]:
        """Return what a browser needs to make a passkey that names its user by itself, not where a `known` one is.

        The device has to verify its user by a fingerprint, a PIN or the like, so that it is two factors in one.
        """
        options = webauthn.generate_registration_options(
            rp_id=self._host,
            rp_name=SITE_NAME,
            user_id=user_id.encode(),
            user_name=email,
            user_display_name=email,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(id=base64url_to_bytes(each)) for each in known],
        )
        return _json(options)

    def request_options(self) -> dict[str, Any]:
        """Return what a browser needs to let its user choose a passkey of this site, whosever it is."""
        required = UserVerificationRequirement.REQUIRED
        return _json(webauthn.generate_authentication_options(rp_id=self._host, user_verification=required))

    def verify_creation(self, answer: str, challenge: str) -> dict[str, Any]:
        """Return the new passkey: {_id, public_key, sign_count, is_synced}; raise InvalidAnswer."""
        try:
            found = webauthn.verify_registration_response(
                credential=answer,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=self._host,
                expected_origin=self.url,
                require_user_verification=True,
            )
        except UNREADABLE as error:
            raise InvalidAnswer(str(error)) from error
        return {
            "_id": bytes_to_base64url(found.credential_id),
            "public_key": found.credential_public_key,
            "sign_count": found.sign_count,
            "is_synced": found.credential_backed_up,
        }

    def verify_use(self, answer: str, challenge: str, passkey: dict[str, Any]) -> int:
        """Return how often the passkey says that it was used, if `answer` is signed with it; raise InvalidAnswer."""
        try:
            found = webauthn.verify_authentication_response(
                credential=answer,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=self._host,
                expected_origin=self.url,
                credential_public_key=passkey["public_key"],
                credential_current_sign_count=passkey["sign_count"],
                require_user_verification=True,
            )
        except UNREADABLE as error:
            raise InvalidAnswer(str(error)) from error
        return found.new_sign_count


def credential_of(answer: str) -> tuple[str, str]:
    """Return the ids that an answer names: of the passkey, and of its user if it names one; raise InvalidAnswer."""
    try:
        found = json.loads(answer)
        passkey_id, handle = str(found["id"]), found["response"].get("userHandle") or ""
        user_id = base64url_to_bytes(handle).decode()
    except UNREADABLE as error:
        raise InvalidAnswer(str(error)) from error
    if not is_storable(passkey_id):  # what JSON escapes may say
        raise InvalidAnswer("half of a character in the id")
    return passkey_id, user_id


def _json(options: Any) -> dict[str, Any]:
    shaped: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return shaped
