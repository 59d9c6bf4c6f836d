"""The rules of users and passwords."""

import re

SESSION_SECONDS = 12 * 60 * 60
MINIMUM_PASSWORD, MAXIMUM_PASSWORD = 8, 64
MAXIMUM_EMAIL = 254
"""The longest address that mail can be sent to (RFC 5321, section 4.5.3.1.3, less the brackets)."""

EMAIL = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f.]+(\.[^@\s\x00-\x1f.]+)+")


class Refused(Exception):
    """What the caller asked for is against a rule; the message is a sentence for the user."""


class InvalidEmail(Refused):
    """The address does not look like one."""


class InvalidPassword(Refused):
    """The password is too short, too long or too common."""


class EmailInUse(Refused):
    """Somebody has signed up with this address."""


class WrongCredentials(Refused):
    """No user has this address and this password; which of the two is wrong is nobody's business."""


def normalised_email(email: object) -> str:
    """Return the address trimmed and in lower case, as it is kept and compared; raise InvalidEmail."""
    if not isinstance(email, str):
        raise InvalidEmail("Email must be valid.")
    address = email.strip().lower()
    if len(address) > MAXIMUM_EMAIL or not EMAIL.fullmatch(address):
        raise InvalidEmail("Email must be valid.")
    return address


def check_password(password: object, common: frozenset[str]) -> str:
    """Return an acceptable password unchanged; raise InvalidPassword.

    Any characters are allowed and none are demanded (OWASP ASVS 5.0, 6.2.5 and 6.2.9).
    """
    if not isinstance(password, str) or not MINIMUM_PASSWORD <= len(password) <= MAXIMUM_PASSWORD:
        raise InvalidPassword(f"Password must be {MINIMUM_PASSWORD} to {MAXIMUM_PASSWORD} characters long.")
    if password.lower() in common:
        raise InvalidPassword("This password is too common; choose another.")
    return password
