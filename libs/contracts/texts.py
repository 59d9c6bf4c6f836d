"""The normal form of text, and the rules for a line of it that is shown.

Domains import this file, so it imports nothing but the standard library.
"""

import re
import unicodedata

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
"""Characters that show nothing: Default_Ignorable_Code_Point of Unicode 15, blank letters and symbols, annotations."""
DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Controls that change the direction of the text that follows (https://www.unicode.org/reports/tr9/, section 2)."""
REPLACEMENT = "\ufffd"
"""The character that replaces what could not be decoded: a browser sends it for half of a character."""
MAXIMUM_MARKS = 4
"""Marks on one character: as many as Hebrew with points and cantillation needs; more would cover the text around it."""


class InvalidValue(Exception):
    """The value of a field is invalid; the message says why."""


def is_storable(text: str) -> bool:
    """Return whether MongoDB can store `text`: a lone surrogate has no UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def without_invisible(text: str) -> str:
    """Return `text` without the characters that show nothing and white space around it."""
    return INVISIBLE.sub("", text).strip()


def with_ascii_digits(text: str) -> str:
    """Return `text` with 0 to 9 in place of the decimal digits of other scripts."""
    return "".join(str(unicodedata.decimal(letter, letter)) for letter in text)


def checked_line(name: str, value: object, maximum: int) -> str:
    """Return a line of text as it is stored and shown: trimmed and composed (NFC); raise InvalidValue.

    It is empty, or has something visible, at most `maximum` characters, and nothing that harms the text around it.
    """
    if not isinstance(value, str):
        raise InvalidValue(f"Enter the {name} as text.")
    if not is_storable(value) or REPLACEMENT in value:
        raise InvalidValue(f"The {name} has half of a character in it; enter it again.")
    text = unicodedata.normalize("NFC", value.strip())
    if problem := _problem(text, maximum):
        raise InvalidValue(f"The {name} {problem}.")
    return text


def _problem(text: str, maximum: int) -> str | None:
    categories = [unicodedata.category(letter) for letter in text]
    if not {"Cc", "Zl", "Zp"}.isdisjoint(categories):
        return "must be one line, without tabs and other control characters"
    if DIRECTION.search(text):
        return "must not have characters in it that change the direction of text"
    if text and not _shows_something(text):
        return "must have something to see in it"
    if len(text) > maximum:
        return f"must have at most {maximum} characters"
    if _most_marks(categories) > MAXIMUM_MARKS:
        return f"must not have more than {MAXIMUM_MARKS} accents on one letter"
    return None


def _shows_something(text: str) -> bool:
    """Return whether any of the text is visible: not white space, invisible characters, or marks on nothing."""
    return any(unicodedata.category(letter) not in ("Mn", "Me", "Cf", "Zs") for letter in INVISIBLE.sub("", text))


def _most_marks(categories: list[str]) -> int:
    """Return how many marks the character with the most has; invisible characters between them do not separate them."""
    most = marks = 0
    for category in categories:
        if category in ("Mn", "Me"):
            marks += 1
        elif category not in ("Mc", "Cf"):
            marks = 0
        most = max(most, marks)
    return most
