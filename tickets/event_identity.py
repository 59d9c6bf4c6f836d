"""Which event a ticket is for: tickets with the same title, venue and start have the same event id.

Case, accents and punctuation make no difference, nor does the time zone of a start if it is the same moment.
"""

import json
from datetime import datetime
from hashlib import sha256

from tickets.words import folded_line

SLUG = 60
"""The maximum length of the readable part of an id."""
FINGERPRINT = 16


def event_id(title: str, venue: str | None, starts_at: datetime | None) -> str:
    """Return the id of an event, which is part of its page's address, like hamlet-1f0c9a8b7d6e5f40."""
    folded = folded_line(title)
    start = None if starts_at is None else int(starts_at.timestamp() * 1000)
    identity = json.dumps([folded, folded_line(venue or ""), start])
    return "-".join([*_slug(folded), sha256(identity.encode()).hexdigest()[:FINGERPRINT]])


def _slug(folded: str) -> list[str]:
    """Return the leading words that can be in an address unchanged, as far as there is room."""
    words, room = [], SLUG
    for word in folded.split():
        if not (word.isascii() and word.isalnum()):
            continue
        room -= len(word) + 1
        if room < 0:
            break
        words.append(word)
    return words
