"""Signed tokens (JWT, Ed25519): who may mint them, and how every part checks one by itself.

A key has a name, `<issuer>:<number>`, which is the token's `kid`. The issuer is `auth` (users' sessions), a service's
name, or `operator`; a key can only speak for its own issuer. Two numbers of one issuer may be valid at once,
which is how keys are rotated. Settings hold keys as `<name>=<base64 of 32 bytes>`, public ones separated by commas.
"""

import base64
import hmac
import time
import uuid
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "EdDSA"
AUDIENCE = "ticketing"
REQUIRED_CLAIMS = ["iss", "aud", "sub", "jti", "iat", "exp"]
CLOCK_SKEW_SECONDS = 5


class InvalidToken(Exception):
    """The token is missing, forged, expired, or speaks for somebody its key may not speak for."""


class InvalidKey(ValueError):
    """A key setting is not `<issuer>:<number>=<base64 of 32 bytes>`."""


@dataclass(frozen=True)
class Claims:
    """What a verified token says: the issuer, the user's id (or the service's or operator's name), and the session.

    `generation`: of the user's sessions; ending all of them raises it, and tokens of an older one are no longer good.
    """

    issuer: str
    subject: str
    session_id: str
    issued_at: int
    expires_at: int
    email: str | None = None
    generation: int = 0

    @property
    def is_user(self) -> bool:
        """Whether this is the session of a user who signed in."""
        return self.issuer == "auth"


class Signer:
    """Mints tokens with one private key.

    `setting`: `<issuer>:<number>=<base64 of the 32-byte seed>`; raises InvalidKey when it is anything else.
    """

    def __init__(self, setting: str) -> None:
        self.key_name, seed = _parse(setting)
        self.issuer = self.key_name.split(":")[0]
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def mint(self, subject: str, lifetime_seconds: int, **extra: str | int) -> str:
        """Return a new token for `subject`, with an id of its own, that ends after `lifetime_seconds`."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + lifetime_seconds,
            **extra,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": self.key_name})

    def derive_secret(self, purpose: str) -> bytes:
        """Return a secret for another purpose; neither this key nor any other secret can be derived from it."""
        return hmac.digest(self._key.private_bytes_raw(), purpose.encode(), "sha256")

    def mint_service(self) -> str:
        """Return a token that names this service or operator, good for one minute."""
        return self.mint(self.issuer, lifetime_seconds=60)


class Verifier:
    """Checks tokens against the public keys of `setting`; raises InvalidKey when the setting is malformed or empty."""

    def __init__(self, setting: str) -> None:
        parsed = {_parse(part) for part in setting.split(",") if part.strip()}
        self._keys = {name: Ed25519PublicKey.from_public_bytes(raw) for name, raw in parsed}
        if not parsed or len(self._keys) < len(parsed):  # two keys of one name, of which one would be ignored
            raise InvalidKey

    def knows(self, signer: Signer) -> bool:
        """Return whether the tokens of `signer` are valid."""
        try:
            return bool(self.verify(signer.mint_service()))
        except InvalidToken:
            return False

    def verify(self, token: str | None) -> Claims:
        """Return the claims of a valid token; raise InvalidToken for any other.

        The algorithm is fixed and the key is chosen by `kid` from the settings alone (RFC 8725, sections 3.1 and 3.10).
        """
        if not isinstance(token, str):
            raise InvalidToken("no token")
        try:
            name = jwt.get_unverified_header(token).get("kid")
            key = self._keys.get(name) if isinstance(name, str) else None
            if name is None or key is None:
                raise InvalidToken("unknown key")
            options = {"require": REQUIRED_CLAIMS}
            claims = jwt.decode(
                token,
                key,
                [ALGORITHM],
                audience=AUDIENCE,
                leeway=CLOCK_SKEW_SECONDS,
                options=options,  # type: ignore[arg-type]
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidToken(str(error)) from error
        if claims["iss"] != name.split(":")[0]:
            raise InvalidToken("the key may not speak for this issuer")
        return Claims(
            claims["iss"],
            claims["sub"],
            claims["jti"],
            int(claims["iat"]),
            int(claims["exp"]),
            claims.get("email"),
            int(claims.get("generation", 0)),
        )


def new_key(name: str) -> tuple[str, str]:
    """Return a fresh pair of settings (private, public) for the key `name`, such as `auth:1`."""
    key = Ed25519PrivateKey.generate()
    seed = key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"{name}={base64.b64encode(seed).decode()}", f"{name}={base64.b64encode(public).decode()}"


def _parse(setting: str) -> tuple[str, bytes]:
    name, _, encoded = setting.strip().partition("=")
    issuer, _, number = name.partition(":")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError as error:  # binascii's own, and that of letters that are not ASCII
        raise InvalidKey from error
    if not issuer or not number.isdigit() or len(raw) != 32:
        raise InvalidKey
    return name, raw
