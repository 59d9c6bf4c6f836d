"""Fuzzy search: finds words of tickets within one edit (a letter replaced, missing, added, or two transposed).

Two such words have a variant in common, where the variants of a word are itself and the word without one of its letters
(the method of SymSpell, https://github.com/wolfgarbe/SymSpell). So an index of the variants of all words that tickets
have or had finds them, at the same cost however many there are.
"""

import logging
from collections.abc import Iterable
from itertools import islice
from typing import Any

from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from libs.database import duplicates_in

log = logging.getLogger(__name__)

NEAR_INDEX = IndexModel([("near", ASCENDING)])
SHORTEST, LONGEST = 4, 24
"""The lengths of words that are corrected; too many others are within one edit of a shorter one."""
MOST_FOUND, MOST_NEAR = 100, 5
MOST_KNOWN = 100_000
MOST_STORED = 500_000
"""How many words are stored, of 0.4 kB each with their index: endless edits of tickets must not fill the disk."""


class Spelling:
    """The words that tickets have or had, in a collection of their own."""

    def __init__(self, words: Collection[dict[str, Any]]) -> None:
        self._words = words
        self._known: set[str] = set()
        """Words that this process has stored, so that a common one is not stored each time."""
        self._is_full = False

    def learn(self, words: Iterable[str]) -> None:
        """Store the words, in any script that writes letters one by one, until there are MOST_STORED."""
        new = {word for word in words if SHORTEST <= len(word) <= LONGEST and word.isalpha()} - self._known
        if not new:
            return
        if self._words.estimated_document_count() >= MOST_STORED:
            if not self._is_full:
                log.warning("no further word is stored for the correction of searches: there are %d", MOST_STORED)
            self._is_full = True
            return
        try:
            self._words.insert_many([{"_id": word, "near": _without_a_letter(word)} for word in new], ordered=False)
        except BulkWriteError as error:
            duplicates_in(error)  # or it raises
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        self._known |= new

    def near(self, word: str) -> list[str]:
        """Return words within one edit of `word`, MOST_NEAR at most."""
        if not SHORTEST <= len(word) <= LONGEST + 1:
            return []
        found = self._words.find({"near": {"$in": _without_a_letter(word)}}, {"_id": 1}, limit=MOST_FOUND)
        return list(islice((each["_id"] for each in found if is_near(word, each["_id"])), MOST_NEAR))


def is_near(word: str, other: str) -> bool:
    """Return whether the words are one edit apart: a letter replaced, missing or added, or two transposed."""
    shorter = min(len(word), len(other))
    begin = next((at for at in range(shorter) if word[at] != other[at]), shorter)
    word, other = word[begin:], other[begin:]
    shorter = min(len(word), len(other))
    end = next((at for at in range(shorter) if word[-1 - at] != other[-1 - at]), shorter)
    left, right = word[: len(word) - end], other[: len(other) - end]
    return {len(left), len(right)} <= {0, 1} and bool(left or right) or (len(left) == 2 and left == right[::-1])


def _without_a_letter(word: str) -> list[str]:
    """Return the variants of a word: itself, and the word without each of its letters."""
    return sorted({word, *(word[:at] + word[at + 1 :] for at in range(len(word)))})
