"""Authenticator apps (TOTP, RFC 6238) and the recovery codes for those who have lost theirs."""

import hashlib
import re
import secrets
import unicodedata
from datetime import datetime

import pyotp
from pyotp.exceptions import OTPVerificationError

from libs.contracts.texts import with_ascii_digits, without_invisible

ISSUER = "Ticketing"
WINDOW = 1
"""How many periods of 30 seconds a clock may be ahead or behind (RFC 6238, section 5.2)."""
RECOVERY_CODES = 10
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without i, l, o, 0 and 1, which are easily mistaken for one another."""
GROUPS, GROUP = 4, 6
"""The number of characters: 118 bits, so that a plain hash of a code reveals nothing (OWASP ASVS 5.0, 6.5.2)."""
BETWEEN = re.compile(r"[\s\-\u2010-\u2015]")
"""What people write between the characters of a code: white space, hyphens and dashes."""


def new_secret() -> str:
    """Return a new secret of 160 bits, in base32."""
    return pyotp.random_base32()


def uri(secret: str, email: str) -> str:
    """Return the content of the QR code for an app."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def matched_period(secret: str, code: str, now: datetime) -> int | None:
    """Return the number of the period whose code this is, if that is the current or an adjacent one."""
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=now, valid_window=WINDOW)
    except OTPVerificationError:
        return None


def normalise_code(typed: object) -> str:
    """Return a typed code in normal form, without separators."""
    if not isinstance(typed, str):
        return ""
    return BETWEEN.sub("", with_ascii_digits(without_invisible(unicodedata.normalize("NFKC", typed)))).lower()


def is_of_app(code: str) -> bool:
    """Return whether a code has the form of an app's, and not that of a recovery code."""
    return re.fullmatch("[0-9]{6}", code) is not None


def is_recovery_code(code: str) -> bool:
    """Return whether a normalised code has the form of a recovery code."""
    return len(code) == GROUPS * GROUP and set(code) <= set(ALPHABET)


def new_recovery_codes() -> list[str]:
    """Return new codes in the form that is shown: `abcdef-ghjkmn-pqrstu-vwxyz2`."""
    return ["-".join(_group() for _ in range(GROUPS)) for _ in range(RECOVERY_CODES)]


def hash_setup(setup: str) -> str:
    """Return the hash that is stored of an app's set-up, to recognise it when it is sent again."""
    return hashlib.sha256(setup.encode()).hexdigest()


def hash_code(code: str) -> str:
    """Return the hash that is stored of a recovery code."""
    return hashlib.sha256(normalise_code(code).encode()).hexdigest()


def _group() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(GROUP))
