"""The words of a text as searches compare them: without case, accents or apostrophes, in any script and its digits.

Word boundaries follow Unicode (https://www.unicode.org/reports/tr29/), as far as that matters to a search. Scripts
without spaces between words are indexed as n-grams of PIECE letters, one from each letter on, so that any text that is
searched for begins one of them.
"""

import re
import unicodedata
from collections.abc import Iterator

from libs.contracts.texts import INVISIBLE, with_ascii_digits

APOSTROPHES = frozenset("'`\u02b9\u02bb\u02bc\u02be\u02bf\u055a\u05f3\u05f4\u2018\u2019\u201b\u2032\ua78c")
INNER_MARKS = APOSTROPHES | frozenset(".\u00b7\u2027")
"""Marks that may be inside a word, as in O'Brien, R.E.M. and Paral·lel."""
LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
    | {"\u0640": ""}  # the Arabic tatweel, which only makes a word longer
)
"""Letters that Unicode does not decompose into a letter and an accent, as typed on keyboards that lack them."""
UNSPACED = (
    "CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "BOPOMOFO ", "YI ", "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TAI ",
    "NEW TAI ", "JAVANESE ", "BALINESE ",
)  # fmt: skip
"""The prefixes of the names of letters in scripts without spaces between words."""
PIECE = 3
"""The number of letters, with their marks, in an n-gram."""
IOTA = "\u0345"
"""The Greek iota subscript, which next to capitals is a letter of its own."""
TOKEN = re.compile(r"[ln]+(?:(?<=l)'(?=l)[ln]+)*|u+|s")
"""A word, a text of a script without spaces, or a symbol, in the kinds of its characters."""


def indexed_words(*texts: str | None) -> list[str]:
    """Return the words that `texts` are found by: of a word with apostrophes, the whole and each part."""
    found: set[str] = set()
    for token in _tokens(*texts):
        if isinstance(token, list):
            found.update("".join(token[start : start + PIECE]) for start in range(len(token)))
        else:
            parts = _parts(token)
            found.update(("".join(parts), *parts))
    return sorted(found)


def searched_words(text: str | None) -> list[str]:
    """Return the words that are searched for: each begins a word that a text is found by, if the text has it."""
    found: set[str] = set()
    for token in _tokens(text):
        if isinstance(token, list):
            found.update("".join(token[start : start + PIECE]) for start in range(0, len(token), PIECE))
        else:
            found.add("".join(_parts(token)))
    return sorted(found)


def folded_line(text: str) -> str:
    """Return a text in its form for comparison: its words, folded, separated by spaces; if it has none, all of it."""
    tokens = ("".join(token if isinstance(token, list) else _parts(token)) for token in _tokens(text))
    return " ".join(tokens) or _folded(text)


def _tokens(*texts: str | None) -> Iterator[str | list[str]]:
    """Yield the folded words; text without spaces as lists of letters with their marks."""
    for text in texts:
        folded = _folded(text or "")
        kinds = _kinds(folded)
        for match in TOKEN.finditer(kinds):
            token = folded[match.start() : match.end()]
            yield _with_marks(token) if match[0][0] == "u" else token


def _parts(word: str) -> list[str]:
    return "".join("'" if letter in INNER_MARKS else letter for letter in word).split("'")


def _folded(text: str) -> str:
    """Return the text without case, accents and compatibility differences such as width; digits as 0 to 9."""
    composed = unicodedata.normalize("NFC", text).replace("\u00b4", "'")  # which is a space and an accent in NFKD
    folded = _without_accents(_without_accents(composed).casefold()).translate(LETTERS)
    return unicodedata.normalize("NFC", with_ascii_digits(folded))


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", INVISIBLE.sub("", text))
    return "".join(letter for letter in decomposed if not _is_accent(letter))


def _is_accent(letter: str) -> bool:
    """Return whether `letter` is an accent, or a point of Hebrew or Arabic, which texts mostly go without.

    By its combining class (https://www.unicode.org/reports/tr44/, table 15), which tells these from vowels, tones, and
    marks of other scripts without which a word is another.
    """
    combining = unicodedata.combining(letter)
    return 10 <= combining <= 36 or combining >= 200 and letter != IOTA


def _kinds(text: str) -> str:
    """Return a letter for each character: l(etter), n(umber), u(nspaced), s(ymbol), ' inside a word, or a space."""
    kinds = ""
    for letter in text:
        kinds += _kind(letter, kinds[-1:])
    return kinds


def _kind(letter: str, before: str) -> str:
    if letter in INNER_MARKS:
        return "'"
    category = unicodedata.category(letter)
    if category[0] == "M":
        return before if before in ("l", "n", "u") else " "
    if category[0] == "L" or category == "Nl":
        return "u" if unicodedata.name(letter, "").startswith(UNSPACED) else "l"
    return {"N": "n", "S": "s" if category == "So" else " "}.get(category[0], " ")


def _with_marks(text: str) -> list[str]:
    letters: list[str] = []
    for letter in text:
        if unicodedata.category(letter)[0] == "M" and letters:
            letters[-1] += letter
        else:
            letters.append(letter)
    return letters
