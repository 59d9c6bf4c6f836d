"""The artwork of a ticket: a motif of `static/art.svg`, its colours and its crop, always the same for one event."""

from datetime import date
from hashlib import sha256
from typing import Any, NamedTuple

from libs.contracts.limits import CATEGORIES

MOTIFS = 3
"""How many motifs each category has in `static/art.svg`."""
TONES = 8
"""How many sets of colours `static/style.css` has."""
WIDTH, HEIGHT = 320, 180
"""The size of a motif."""


class Artwork(NamedTuple):
    """A motif's name, the number of its colours, whether it is mirrored, and the part of it that is shown."""

    motif: str
    tone: int
    is_mirrored: bool
    crop: str


def artwork(ticket: dict[str, Any]) -> Artwork:
    """Return the artwork of a ticket, by its category and event; the seat, after a comma, changes nothing.

    Evenings of one show differ in their colours: the same come again after as many days as there are TONES.
    """
    show = f"{ticket['title'].partition(',')[0]}\n{ticket.get('venue') or ''}".casefold()
    motif, tone, mirrored, shift, *_ = sha256(show.encode()).digest()
    day = date.fromisoformat(ticket["starts_at"][:10]).toordinal() if ticket.get("starts_at") else 0
    return _drawn(ticket["category"], motif, tone + day, bool(mirrored % 2), shift)


def illustration(category: str, other: int = 0) -> Artwork:
    """Return the picture of a category, or an `other` one."""
    number = CATEGORIES.index(category)
    motif = 0 if category in ("movie", "show") else 1
    return _drawn(category, motif + other, 5 * number + 1 + 2 * other, False, 0)


def _drawn(category: str, motif: int, tone: int, is_mirrored: bool, shift: int) -> Artwork:
    left, top = shift % 3 * 8, shift // 3 % 3 * 4.5
    crop = f"{left} {top:g} {WIDTH - 16} {HEIGHT - 9}"
    return Artwork(f"{category}-{motif % MOTIFS + 1}", tone % TONES, is_mirrored, crop)
