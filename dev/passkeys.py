"""A passkey in software, which answers as a browser with an authenticator does; for tests."""

import hashlib
import json
import secrets
import struct
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import bytes_to_base64url

PRESENT, VERIFIED, HAS_CREDENTIAL = 0x01, 0x04, 0x40
"""Flags of authenticator data (https://www.w3.org/TR/webauthn-3/#authdata-flags)."""


class SoftwarePasskey:
    """A key pair that answers the options of `navigator.credentials.create` and `get` on a page of `origin`.

    Without `verifies_user` it is that of a device that anyone holding it can use; one that is synced between devices
    has no signature counter, so it is made without `counts`.
    """

    def __init__(self, origin: str, verifies_user: bool = True, counts: bool = True) -> None:
        self.origin = origin
        self.ident = secrets.token_bytes(16)
        self.name = bytes_to_base64url(self.ident)
        self.uses = 0
        self._counts = counts
        self._flags = PRESENT | (VERIFIED if verifies_user else 0)
        self._key = generate_private_key(SECP256R1())
        self._host, self._user = "", ""

    def create(self, options: dict[str, Any]) -> str:
        """Return the answer to the options for a new passkey, as JSON."""
        self._host, self._user = options["rp"]["id"], options["user"]["id"]
        point = self._key.public_key().public_numbers()
        key = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}  # COSE: EC2, ES256
        credential = secrets.token_bytes(16) + struct.pack(">H", len(self.ident)) + self.ident + cbor2.dumps(key)
        attested = {"fmt": "none", "attStmt": {}, "authData": self._data(HAS_CREDENTIAL) + credential}
        return self._answer(
            clientDataJSON=self._client_data("webauthn.create", options), attestationObject=cbor2.dumps(attested)
        )

    def get(self, options: dict[str, Any]) -> str:
        """Return the answer to the options for signing in, as JSON."""
        self.uses += self._counts
        data, client_data = self._data(), self._client_data("webauthn.get", options)
        signature = self._key.sign(data + hashlib.sha256(client_data).digest(), ECDSA(SHA256()))
        return self._answer(
            clientDataJSON=client_data, authenticatorData=data, signature=signature, userHandle=self._user
        )

    def _client_data(self, kind: str, options: dict[str, Any]) -> bytes:
        return json.dumps({"type": kind, "challenge": options["challenge"], "origin": self.origin}).encode()

    def _data(self, flags: int = 0) -> bytes:
        host = hashlib.sha256(self._host.encode()).digest()
        return host + struct.pack(">BI", self._flags | flags, self.uses)

    def _answer(self, **response: bytes | str) -> str:
        shown = {name: each if isinstance(each, str) else bytes_to_base64url(each) for name, each in response.items()}
        return json.dumps({"id": self.name, "rawId": self.name, "type": "public-key", "response": shown})
