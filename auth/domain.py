"""The rules of users, their passwords, and how often they may attempt to sign in."""

import hmac
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.contracts.attempts import Counter, Limit
from libs.contracts.errors import DomainError, InvalidFields
from libs.contracts.limits import (
    MAXIMUM_CURRENT_PASSWORD,
    MAXIMUM_EMAIL,
    MAXIMUM_NAME,
    MAXIMUM_PASSKEY_NAME,
    MAXIMUM_PASSKEYS,
    MAXIMUM_PASSWORD,
    MINIMUM_PASSWORD,
)
from libs.contracts.texts import InvalidValue, checked_line, is_storable, without_invisible

SESSION_SECONDS = 12 * 60 * 60
CONFIRMED_FOR = timedelta(minutes=10)
"""How long after a sign-in or a confirmation a session counts as confirmed."""
LENGTH_MESSAGE = f"Choose a password of {MINIMUM_PASSWORD} to {MAXIMUM_PASSWORD} characters."
CODE_MESSAGE = "Enter a code of your authenticator app, or a recovery code."
HALF_MESSAGE = "The password has half of a character in it; enter it again."
KNOWN_ADDRESSES = 20
"""How many network addresses of a user's sign-ins are remembered, newest last."""

FindWeakness = Callable[[str, str], str | None]
"""Returns why a password is too easy to guess for the user with an address, as a clause, or None."""

UNFIT = r"@\s\x00-\x1f\x7f-\x9f\ud800-\udfff"
"""White space, control characters and lone surrogates, as ranges of a regular expression."""
AN_ADDRESS = re.compile(r"[@/]|\w\.\w{2}|\d[\d \-\u2010-\u2015().]{5,}\d")
THE_SITE = re.compile(r"ticketing|support|admin|moderator")
ALIKE = {
    "a": "\u0430\u03b1", "c": "\u0441\u03f2", "d": "\u0501", "e": "\u0435\u03b53", "g": "\u0261",
    "i": "\u0456\u0131\u03b9\u04cfl1", "k": "\u043a\u03ba", "m": "\u043c\u03bc", "n": "\u043f\u0578\u03bd",
    "o": "\u043e\u03bf0", "p": "\u0440\u03c1", "s": "\u04555", "t": "\u0442\u03c47", "u": "\u03c5\u057d",
}  # fmt: skip
"""For each letter of these words, its lookalikes in Cyrillic, Greek and Armenian, and what is typed in its place."""
LATIN = {ord(other): letter for letter, others in ALIKE.items() for other in others}
EMAIL = re.compile(rf"[^{UNFIT}]+@[^{UNFIT}.]+(\.[^{UNFIT}.]+)+")
LONGEST_DOMAIN, LONGEST_LABEL = 253, 63
DOTS = re.compile("[.\u3002]")
"""What separates the labels of a domain, in NFKC."""


class InvalidEmail(InvalidFields):
    """The address does not look like one."""


class InvalidPassword(InvalidFields):
    """The password is too short, too long or too easy to guess."""


class EmailInUse(DomainError):
    """Somebody has signed up with this address."""


class WrongCredentials(DomainError):
    """No user has this address and this password; which of the two is wrong is not disclosed."""


class WrongPassword(DomainError):
    """This is not the password of the user who is signed in."""


class SecondFactorNeeded(DomainError):
    """The password is right, and a code is needed too; `details["pending"]` is for `sign_in_with_code`."""


class WrongCode(DomainError):
    """The code is of neither the user's authenticator app nor their recovery codes, or was used before."""


class WrongPasskey(DomainError):
    """The answer of a passkey is not accepted."""


class TookTooLong(DomainError):
    """The user took too long between the first and the last step."""


class ConfirmationNeeded(DomainError):
    """The user has not confirmed their identity within the last ten minutes."""


class IncompleteConfirmation(InvalidFields):
    """The user did not provide everything that signing in needs."""


class NoAuthenticator(DomainError):
    """The user has no authenticator app."""


class AuthenticatorInUse(DomainError):
    """This set-up of an authenticator app was finished before."""


class AuthenticatorUnreadable(DomainError):
    """The app's codes cannot be checked: its secret was encrypted with a key that auth no longer has."""


class PasskeyNotFound(DomainError):
    """The user has no such passkey."""


class TooManyPasskeys(DomainError):
    """The user has as many passkeys as one may have."""


class InvalidPasskeyName(InvalidFields):
    """The name of a passkey is invalid."""


class InvalidName(InvalidFields):
    """The name of a user is invalid."""


class UserLocked(DomainError):
    """An operator has locked this user out."""

    security_event = "access_denied"


class UserNotFound(DomainError):
    """There is no such user."""


class SessionNotFound(DomainError):
    """The user has no such session, or no longer."""


ONE_ACCOUNT_FROM_ONE_ADDRESS = Limit(free=5, longest_wait_seconds=900)
ONE_ADDRESS = Limit(free=50, longest_wait_seconds=900)
ONE_ACCOUNT = Limit(free=50, longest_wait_seconds=60)
OWN_PASSWORD = Limit(free=5, longest_wait_seconds=900)
CODES_OF_ONE_ACCOUNT = Limit(free=10, longest_wait_seconds=900)
"""So with the password and any number of addresses, guessing one of three valid codes in a million takes years."""
EMAILS_IN_USE = Limit(free=20, longest_wait_seconds=900)


@dataclass(frozen=True)
class Counters:
    """The throttle counters that each kind of attempt counts towards.

    Keys are HMACs: plain hashes of all IPv4 addresses could be reversed within hours by anybody who reads the database.
    """

    secret: bytes

    def of_sign_in(self, email: str, address: str, is_known: bool) -> list[Counter]:
        """Return what a sign-in counts towards from its beginning, unless it succeeds.

        An address is slowed down for an account after five failures. An account that is attacked from many addresses
        accepts, at worst, one attempt a minute from addresses new to it. An address from which this user has signed in
        before (`is_known`) is exempt from that, so that strangers elsewhere cannot keep the user out.
        """
        pair = self._counter("sign-in", ONE_ACCOUNT_FROM_ONE_ADDRESS, email, address)
        return [pair] if is_known else [pair, self._counter("account", ONE_ACCOUNT, email)]

    def of_address(self, address: str, is_known: bool) -> list[Counter]:
        """Return what a sign-in counts towards once it has failed: an address is slowed down for all accounts.

        Only then, so that many people may sign in at once behind one address; and not for users who have signed in from
        it before, so that others there cannot keep them out.
        """
        return [] if is_known else [self._counter("address", ONE_ADDRESS, address)]

    def of_password(self, user_id: str) -> list[Counter]:
        """Return what a wrong current password counts towards, when a signed-in user confirms by it, or changes it."""
        return [self._counter("password", OWN_PASSWORD, user_id)]

    def of_own_code(self, user_id: str) -> list[Counter]:
        """Return what a wrong code with the right password counts towards, when a signed-in user confirms by both."""
        return [self._counter("own code", OWN_PASSWORD, user_id)]

    def of_code(self, user_id: str, address: str, is_known: bool) -> list[Counter]:
        """Return what a wrong code counts towards, for a sign-in with the right password; `is_known`: as above."""
        pair = self._counter("code", ONE_ACCOUNT_FROM_ONE_ADDRESS, user_id, address)
        return [pair] if is_known else [pair, self._counter("codes", CODES_OF_ONE_ACCOUNT, user_id)]

    def of_passkey(self, address: str) -> list[Counter]:
        """Return what a passkey that is not accepted counts towards."""
        return [self._counter("passkey", ONE_ADDRESS, address)]

    def of_sign_up(self, address: str, per_hour: int) -> list[Counter]:
        """Return what every sign-up counts towards: bots that create accounts are stopped after so many an hour.

        One that is refused for a weak password counts, too.
        """
        return [self._counter("sign-up", Limit(per_hour), address)]

    def of_email_in_use(self, address: str) -> list[Counter]:
        """Return what a sign-up with an email in use counts towards, to slow account enumeration down."""
        return [self._counter("taken", EMAILS_IN_USE, address)]

    def fingerprint(self, address: str) -> str:
        """Return the fingerprint that is stored of an address from which a user signed in."""
        return self._hmac("fingerprint", address)

    def pseudonym(self, email: str) -> str:
        """Return the name in the log of an address without an account: the input may be a password."""
        return f"no account {self._hmac('pseudonym', email)[:12]}"

    def _counter(self, kind: str, limit: Limit, *parts: str) -> Counter:
        return Counter(f"{kind}:{self._hmac(kind, *parts)}", limit)

    def _hmac(self, *parts: str) -> str:
        return hmac.digest(self.secret, "\0".join(parts).encode(errors="replace"), "sha256").hex()


def network(address: object) -> str:
    """Return the network that an address counts as: an IPv6 client has a whole /64 (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(str(address))
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def check_sign_up(email: object, password: object) -> str:
    """Return the address in normal form; raise InvalidEmail or InvalidPassword with the errors of both.

    Whether the password is weak is not checked here: that takes as long as a hash.
    """
    errors = _form_errors("password", password)
    try:
        address = normalise_email(email)
    except InvalidEmail as error:
        raise InvalidEmail([*error.details["errors"], *errors]) from error
    if errors:
        raise InvalidPassword(errors)
    return address


def normalise_email(email: object) -> str:
    """Return the address as it is stored; raise InvalidEmail."""
    address = comparable_email(email) if isinstance(email, str) else ""
    if not EMAIL.fullmatch(address) or not address.partition("@")[2].isascii():
        raise InvalidEmail([_error("email", "Enter an email address, like ana@example.com.")])
    if len(address) > MAXIMUM_EMAIL:
        raise InvalidEmail([_error("email", f"Enter an email address of at most {MAXIMUM_EMAIL} characters.")])
    return address


def comparable_email(email: str) -> str:
    """Return the address as it is compared: without case and invisible characters, in one normal form (NFKC).

    Its domain is in ASCII (IDNA), in which browsers send müller.de; one that cannot be converted stays as it is, and so
    does one that is too long for DNS (RFC 1035, section 2.3.4): converting takes quadratic time.
    """
    name, at, domain = _folded(email).rpartition("@")
    is_short = len(domain) <= LONGEST_DOMAIN and all(len(label) <= LONGEST_LABEL for label in DOTS.split(domain))
    if is_short and not domain.isascii():
        with suppress(UnicodeError):
            domain = domain.encode("idna").decode()
    return name + at + domain


def email_forms(typed: str) -> list[str]:
    """Return the forms in which the address may be stored: as typed, as an earlier version stored it, and as compared.

    Somebody may have one account for each of them.
    """
    return list(dict.fromkeys((_folded(typed), comparable_email(typed))))


def readable_email(email: str) -> str:
    """Return the address with its domain as people write it."""
    name, at, domain = email.rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode().decode("idna")
    return name + at + domain


def _folded(email: str) -> str:
    return without_invisible(unicodedata.normalize("NFKC", email)).lower()


def password_forms(typed: str) -> list[str]:
    """Return the forms in which a password may have been hashed: the normal one, and as typed, before there was one."""
    return list(dict.fromkeys((_normalise_password(typed), typed)))


def check_change(current: object, new: object) -> None:
    """Raise InvalidPassword when one of the forms cannot be a password at all."""
    errors = []
    if not isinstance(current, str) or not is_storable(current) or not 1 <= len(current) <= MAXIMUM_CURRENT_PASSWORD:
        errors.append(_error("current", "Enter your current password."))
    errors += _form_errors("new", new)
    if errors:
        raise InvalidPassword(errors)


def check_password(field: str, password: object, email: str, find_weakness: FindWeakness) -> str:
    """Return an acceptable password in the form in which it is hashed; raise InvalidPassword about `field`.

    Any characters are allowed and none are required; weak passwords are refused (OWASP ASVS 5.0, 6.2.4, 6.2.5, 6.2.9,
    6.2.11 and 6.2.12).
    """
    if errors := _form_errors(field, password):
        raise InvalidPassword(errors)
    accepted = _normalise_password(str(password))
    if email in comparable_email(accepted) or comparable_email(accepted) == email.partition("@")[0]:
        raise InvalidPassword([_error(field, "Your email is no password; choose another.")])
    if reason := find_weakness(accepted, readable_email(email)):
        message = f"Choose another password: {reason}. A few unrelated words make a good one."
        raise InvalidPassword([_error(field, message)])
    return accepted


def check_confirmation(password: object, code: object, has_second_factor: bool) -> None:
    """Raise IncompleteConfirmation unless a user provides all that signing in needs (OWASP ASVS 5.0, 7.5.1)."""
    errors = [] if password else [_error("current", "Enter your password.")]
    if has_second_factor and not code:
        errors.append(_error("code", CODE_MESSAGE))
    if errors:
        raise IncompleteConfirmation(errors)


def is_confirmed(began: datetime, second_factor_since: datetime | None, now: datetime) -> bool:
    """Return whether a session counts as confirmed by the sign-in with which it began.

    A sign-in from before the second factor was set up did not need it, so it does not confirm changes of it.
    """
    return now - began <= CONFIRMED_FOR and (second_factor_since is None or second_factor_since <= began)


def free_slot(taken: Sequence[int | None]) -> int:
    """Return a number for a user's new passkey; raise TooManyPasskeys.

    `taken`: those of the passkeys that the user has; an earlier version gave none.
    """
    if len(taken) >= MAXIMUM_PASSKEYS:
        raise TooManyPasskeys(f"You have {MAXIMUM_PASSKEYS} passkeys. Remove one that you no longer use first.")
    return min({*range(MAXIMUM_PASSKEYS)} - {*taken})


def check_passkey_name(name: object) -> str:
    """Return the name of a passkey as it is stored; raise InvalidPasskeyName."""
    try:
        kept = checked_line("name", name, MAXIMUM_PASSKEY_NAME)
    except InvalidValue as error:
        raise InvalidPasskeyName([_error("name", str(error))]) from error
    if not kept:
        raise InvalidPasskeyName([_error("name", "Enter a name for the passkey, such as that of the device.")])
    return kept


def check_name(name: object) -> str | None:
    """Return the name by which buyers know a user as it is stored, None for none; raise InvalidName.

    It must neither lead buyers to trade elsewhere nor imitate the site.
    """
    try:
        kept = checked_line("name", "" if name is None else name, MAXIMUM_NAME)
    except InvalidValue as error:
        raise InvalidName([_error("name", str(error))]) from error
    plain = unicodedata.normalize("NFKC", without_invisible(kept))
    if AN_ADDRESS.search(plain):
        raise InvalidName([_error("name", "Do not put an address or a number to call in your name.")])
    if THE_SITE.search(_without_marks(plain).casefold().translate(LATIN)):
        raise InvalidName([_error("name", "Choose a name that nobody takes for that of this site.")])
    return kept or None


def _without_marks(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if unicodedata.category(letter) != "Mn")


def _normalise_password(typed: str) -> str:
    """Return the password in normal form, the same on every keyboard and system (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", typed)


def _form_errors(field: str, password: object) -> list[dict[str, str]]:
    """Return why it cannot be a password at all."""
    if not isinstance(password, str):
        return [_error(field, LENGTH_MESSAGE)]
    if not is_storable(password):
        return [_error(field, HALF_MESSAGE)]
    lengths = len(password), len(_normalise_password(password))  # the normal form of one character may have eighteen
    has_length = min(lengths) >= MINIMUM_PASSWORD and lengths[1] <= MAXIMUM_PASSWORD
    return [] if has_length else [_error(field, LENGTH_MESSAGE)]


def _error(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}
