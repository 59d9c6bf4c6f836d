"""Signed tokens (JWT, Ed25519): who may mint them, and how every part verifies them by itself.

A key has a name, `<issuer>:<number>`, which is the token's `kid`. The issuer is `auth` (users' sessions) or a
service's name; a key can only sign for its own issuer. Two numbers of one issuer may be valid at once,
which is how keys are rotated. Settings hold keys as `<name>=<base64 of 32 bytes>`, public ones separated by commas.

A user's token is good at every service. A service's is good at the one that it calls, which its audience names: it is
of no use to its receiver elsewhere.

Operators are people, each with a key of their own, `operator:<name>`, whose public half is in auth's database and in no
setting: auth is asked about each of their tokens (`libs/rpc/caller.py`). One is good for one call, of one method.
"""

import base64
import hashlib
import hmac
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.bounded import BoundedDict

ALGORITHM = "EdDSA"
AUDIENCE = "ticketing"
"""The audience of every token; a service's token also names the service that it is good at."""
REQUIRED_CLAIMS = ["iss", "aud", "sub", "jti", "iat", "exp"]
CLOCK_SKEW_SECONDS = 5
CALL_SECONDS = 60
"""How long an operator's token is good: a longer one is refused, whoever minted it."""
SERVICE_SECONDS = 60
"""How long a service's token is good; each is used for half of that."""
MOST_AHEAD_SECONDS = SERVICE_SECONDS / 2
"""How far ahead the clock of a token's issuer may be: as far as a service's may be behind, by the line above.

No token is good, and no sign-in confirms its session, for longer than this beyond its time.
"""
MOST_VERIFIED = 5000
"""How many tokens a process remembers that it has verified: of more, the longest unused are verified again."""
MOST_HEADERS = 100
"""How many headers of tokens a process remembers that it has read."""
OPERATOR = "operator"
OPERATOR_NAME = re.compile(r"(?!administrator$)[a-z][a-z0-9._-]{0,39}")
"""Never `administrator`, the name recorded for changes that are made at auth's database itself (`ops/operators.py`)."""


class InvalidToken(Exception):
    """The token is missing, forged, expired, or signed by a key that may not sign for its issuer."""


class InvalidKey(ValueError):
    """A key setting is not `<issuer>:<number>=<base64 of 32 bytes>`."""


@dataclass(frozen=True)
class Claims:
    """The claims of a verified token: the issuer, the user's id (or the service's or operator's name), and the session.

    `generation`: of the user's sessions; ending all of them raises it, and tokens of an older one are no longer good.
    `method`: the one that an operator's token is good for, such as `payments.refund`.
    """

    issuer: str
    subject: str
    session_id: str
    issued_at: int
    expires_at: int
    email: str | None = None
    generation: int = 0
    method: str = ""

    @property
    def is_user(self) -> bool:
        """Whether this is the session of a user who signed in."""
        return self.issuer == "auth"


class Signer:
    """Mints tokens with a private key.

    `setting`: `<issuer>:<number>=<base64 of the 32-byte seed>`; raises InvalidKey when it is anything else.
    """

    def __init__(self, setting: str) -> None:
        self.key_name, seed = _parse(setting)
        self.issuer, _, number = self.key_name.partition(":")
        self.name = number if self.issuer == OPERATOR else self.issuer
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._of_service: dict[str, tuple[str, float]] = {}  # by the service called, with when it was minted

    def mint(self, subject: str, lifetime_seconds: int, **extra: str | int | list[str]) -> str:
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

    @property
    def public_key(self) -> str:
        """The public half of the key, as a setting."""
        raw = self._key.public_key().public_bytes_raw()
        return f"{self.key_name}={base64.b64encode(raw).decode()}"

    def derive_secret(self, purpose: str) -> bytes:
        """Return a secret for another purpose; neither this key nor any other secret can be derived from it."""
        return hmac.digest(self._key.private_bytes_raw(), purpose.encode(), "sha256")

    def mint_service(self, called: str) -> str:
        """Return a token that names this service, good at the one that is called for half a minute at least."""
        now = time.time()
        token, minted_at = self._of_service.get(called, ("", 0.0))
        if not minted_at <= now < minted_at + SERVICE_SECONDS / 2:  # nor may it be from the future
            token = self.mint(self.issuer, SERVICE_SECONDS, aud=[AUDIENCE, called])
            self._of_service[called] = token, now
        return token

    def mint_call(self, method: str) -> str:
        """Return a token that names this operator, good for one call of `<service>.<method>` within a minute."""
        return self.mint(self.name, CALL_SECONDS, method=method)


class Verifier:
    """Checks tokens against the public keys of `setting`; raises InvalidKey when the setting is malformed or empty.

    `service`: the one that is called; a token that is good at others alone is refused. Nobody calls the gateway.

    Keys of operators are passed over: version 0.2 had one for all of them among its settings. A signature is checked
    once: its claims are remembered by the token's digest, with these keys, and only whether it has expired is checked
    each time.
    """

    def __init__(self, setting: str, service: str = "") -> None:
        self._service = service
        parsed = {_parse(part) for part in setting.split(",") if part.strip()}
        known = [(name, raw) for name, raw in parsed if not name.startswith(f"{OPERATOR}:")]
        self._keys = {name: _public(raw) for name, raw in known}
        if not known or len(self._keys) < len(known):  # two keys of one name, of which one would be ignored
            raise InvalidKey
        self._verified: BoundedDict[bytes, Claims] = BoundedDict(MOST_VERIFIED)

    def knows(self, signer: Signer) -> bool:
        """Return whether the tokens of `signer` are valid."""
        try:
            return bool(self.verify(signer.mint_service(self._service)))
        except InvalidToken:
            return False

    @property
    def public_keys(self) -> list[str]:
        """The keys, as in the setting."""
        raw = {name: key.public_bytes_raw() for name, key in self._keys.items()}
        return [f"{name}={base64.b64encode(each).decode()}" for name, each in raw.items()]

    def verify(self, token: str | None) -> Claims:
        """Return the claims of a valid token; raise InvalidToken for any other."""
        digest = hashlib.sha256(str(token).encode(errors="surrogatepass")).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = _verified(token, self._keys.get, self._service)
        elif claims.expires_at <= time.time() - CLOCK_SKEW_SECONDS:
            raise InvalidToken("the token has expired")
        self._verified[digest] = claims
        return claims


def operator_key(text: str) -> tuple[str, str]:
    """Return the name and the key in an operator's public key, `operator:<name>=<base64>`; raise InvalidKey."""
    name, raw = _parse(text)
    issuer, _, person = name.partition(":")
    if issuer != OPERATOR or not OPERATOR_NAME.fullmatch(person):
        raise InvalidKey
    return person, f"{name}={base64.b64encode(raw).decode()}"


def operator_of(token: str | None) -> str | None:
    """Return the operator with whose key a token claims to be signed; None for any other token. Verifies nothing."""
    try:
        name = _key_name(token)
    except (jwt.InvalidTokenError, InvalidToken, ValueError):
        return None
    issuer, _, person = name.partition(":")
    return person if issuer == OPERATOR and OPERATOR_NAME.fullmatch(person) else None


def subject_of(token: str | None) -> str | None:
    """Return the subject that a token claims, even once it has expired; None if it is no token. Verifies nothing."""
    try:
        subject: str | None = jwt.decode(str(token), options={"verify_signature": False}).get("sub")
    except jwt.InvalidTokenError:
        return None
    return subject


def verify_operator(token: str | None, public_key: str) -> Claims:
    """Return the claims of an operator's valid token, signed with the other half of this key; raise InvalidToken.

    `public_key`: `operator:<name>=<base64 of 32 bytes>`; raises InvalidKey when it is anything else.
    """
    name, raw = _parse(public_key)
    claims = _verified(token, {name: _public(raw)}.get)
    if f"{claims.issuer}:{claims.subject}" != name:
        raise InvalidToken("the key may not sign for this operator")
    if claims.expires_at - claims.issued_at > CALL_SECONDS:
        raise InvalidToken("it is good for longer than a call")
    return claims


def _verified(token: str | None, find_key: Callable[[str], Ed25519PublicKey | None], service: str = "") -> Claims:
    """Return the claims of a valid token; raise InvalidToken for any other.

    The algorithm is fixed and the key is chosen by `kid` from known ones alone (RFC 8725, sections 3.1 and 3.10).
    """
    try:
        name = _key_name(token)
        key = find_key(name)
        if key is None:
            raise InvalidToken("unknown key")
        options = {"require": REQUIRED_CLAIMS, "verify_iat": False}  # PyJWT has one leeway for both times
        claims = jwt.decode(
            str(token),
            key,
            [ALGORITHM],
            audience=AUDIENCE,
            leeway=CLOCK_SKEW_SECONDS,
            options=options,  # type: ignore[arg-type]
        )
        if int(claims["iat"]) > time.time() + MOST_AHEAD_SECONDS:
            raise InvalidToken("it was minted in the future: do the hosts' clocks agree?")
    except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError) as error:
        raise InvalidToken(str(error)) from error
    # a user's and an operator's name no service, nor does a service's of the previous version
    if claims["aud"] != AUDIENCE and service not in claims["aud"]:
        raise InvalidToken("it is good at another service")
    if claims["iss"] != name.split(":")[0]:
        raise InvalidToken("the key may not sign for this issuer")
    return Claims(
        claims["iss"],
        claims["sub"],
        claims["jti"],
        int(claims["iat"]),
        int(claims["exp"]),
        claims.get("email"),
        int(claims.get("generation", 0)),
        str(claims.get("method", "")),
    )


def _key_name(token: str | None) -> str:
    """Return the `kid` of a token; raise InvalidToken, or PyJWT's InvalidTokenError, when it has none."""
    name = _named_in(token.partition(".")[0]) if isinstance(token, str) else None
    if not isinstance(name, str):
        raise InvalidToken("no token with a known key")
    return name


@lru_cache(maxsize=MOST_HEADERS)
def _named_in(header: str) -> Any:
    """Return the `kid` in the first part of a token, which all tokens of a key have in common."""
    return jwt.get_unverified_header(f"{header}..").get("kid")


def new_key(name: str) -> tuple[str, str]:
    """Return a fresh pair of settings (private, public) for the key `name`, such as `auth:1` or `operator:olga`."""
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
    is_named = OPERATOR_NAME.fullmatch(number) if issuer == OPERATOR else number.isdigit()
    if not issuer or not (is_named or number.isdigit()) or len(raw) != 32:
        raise InvalidKey
    return name, raw


def _public(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)
