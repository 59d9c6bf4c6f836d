"""Which event a ticket is for: the one of its title, venue and start, by an id that all its tickets have.

Case, accents and punctuation make no other event; a start in another zone makes none either if it is the same moment.
"""

import json
from datetime import datetime
from hashlib import sha256

from tickets.words import folded_line

SLUG = 60
"""Characters of the readable part of an id at most."""
FINGERPRINT = 16


def event_id(title: str, venue: str | None, starts_at: datetime | None) -> str:
    """Return the id of an event, which is part of its page's address, like hamlet-1f0c9a8b7d6e5f40."""
    folded = folded_line(title)
    start = None if starts_at is None else int(starts_at.timestamp() * 1000)
    told_apart_by = json.dumps([folded, folded_line(venue or ""), start])
    return "-".join([*_slug(folded), sha256(told_apart_by.encode()).hexdigest()[:FINGERPRINT]])


def _slug(folded: str) -> list[str]:
    """Return the words that an address may have as they are, as far as there is room."""
    words, room = [], SLUG
    for word in folded.split():
        if not (word.isascii() and word.isalnum()):
            continue
        room -= len(word) + 1
        if room < 0:
            break
        words.append(word)
    return words
