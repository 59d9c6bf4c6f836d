"""How easy a password is to guess, as zxcvbn estimates it: common passwords, names, words, dates, rows of keys."""

import re

from zxcvbn import zxcvbn
from zxcvbn.matching import L33T_TABLE

from libs.contracts.limits import MINIMUM_PASSWORD

MINIMUM_GUESSES = 10**MINIMUM_PASSWORD
"""zxcvbn's estimate for the shortest random password: few of those (2 %) are estimated lower, and refused."""
READ_CHARACTERS = 20
"""How many characters are estimated: the whole password is at least as hard to guess as its beginning."""
SIGNS = {sign for signs in L33T_TABLE.values() for sign in signs}
"""Digits and signs that stand for letters, as in `p4$$word`."""
READ_SIGNS = 10
"""How many different ones of these are estimated, without the others; no word in zxcvbn's dictionaries has more.

zxcvbn searches its dictionaries once for each combination of readings: 138 times at worst for 10, which takes 0.05 s of
processor time, but 736 times for 15.
"""
SITE = ("ticketing", "tickets", "ticket")
CALENDAR = (
    *("spring", "summer", "autumn", "fall", "winter", "frühling", "fruehling", "sommer", "herbst"),
    *("printemps", "été", "automne", "hiver", "primavera", "verano", "otoño", "otono", "invierno"),
    *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october"),
    *("november", "december", "januar", "februar", "märz", "mai", "juni", "juli", "oktober", "dezember"),
)
"""Words that people put before a year when they have to change a password."""


def weakness(password: str, email: str) -> str | None:
    """Return why `password` is too easy to guess for the user with this address, as a clause, or None."""
    personal = _parts(email)
    found = zxcvbn(_estimated_part(password), user_inputs=[*personal, *SITE, *CALENDAR])
    if found["guesses"] >= MINIMUM_GUESSES:
        return None
    words = {match["matched_word"] for match in found["sequence"] if match.get("dictionary_name") == "user_inputs"}
    if words & set(personal):
        return "your email and its parts are easy to guess"
    if words & set(SITE):
        return "the name of this site is easy to guess"
    warning = found["feedback"]["warning"].rstrip(".")
    return warning[:1].lower() + warning[1:] or "this one is easy to guess"


def _estimated_part(password: str) -> str:
    """Return the part of a password to estimate, so that no estimate takes much longer than a hash."""
    read, signs = "", set[str]()
    for character in password[:READ_CHARACTERS]:
        if character in SIGNS:
            if len(signs | {character}) > READ_SIGNS:
                continue
            signs.add(character)
        read += character
    return read


def _parts(email: str) -> list[str]:
    """Return an address, its local part and domain, the words of both, and each side's words joined."""
    sides = [part for part in email.split("@") if part]
    words = [word for side in sides for word in re.split(r"[\W_]+", side) if len(word) > 2]
    joined = [re.sub(r"[\W_]+", "", side) for side in sides]
    return list(dict.fromkeys([email, *sides, *joined, *words]))
