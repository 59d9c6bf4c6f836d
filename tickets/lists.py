"""Lists of tickets as queries that MongoDB answers from an index, in order."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pymongo import ASCENDING, DESCENDING

from libs.contracts.limits import CATEGORIES
from libs.contracts.time_zones import time_zones
from tickets.words import searched_words

Document = dict[str, Any]
Order = list[tuple[str, int]]

SORTS: dict[str, Order] = {
    "newest": [("_id", DESCENDING)],
    "price_asc": [("price_cents", ASCENDING), ("_id", ASCENDING)],
    "price_desc": [("price_cents", DESCENDING), ("_id", DESCENDING)],
    "soonest": [("starts", ASCENDING), ("_id", ASCENDING)],
}
NEWEST, BY_PRICE, BY_START = [*SORTS["newest"], ("price_cents", ASCENDING)], SORTS["price_asc"], SORTS["soonest"]
ORDERS = {"newest": NEWEST, "soonest": BY_START}
"""How the indexes of the public list are ordered; those of the others are BY_PRICE."""
LOOKUPS = (["shelf"], ["shelf", "category"], ["shelf", "category", "prefixes"])
"""The fields by which a public list may look tickets up; each has an index for each order."""
PUBLIC_INDEXES: list[Order] = [
    [*((name, ASCENDING) for name in lookup), *sort] for lookup in LOOKUPS for sort in (NEWEST, BY_PRICE, BY_START)
]
EVENT_INDEX: Order = [(name, ASCENDING) for name in ("shelf", "event_id", "price_cents", "_id", "category", "currency")]
"""The index for an event's tickets, cheapest first; it also covers counting them."""
SOONEST_INDEX: Order = [("shelf", ASCENDING), ("starts_at", ASCENDING)]
SELLER_INDEX: Order = [("seller_id", ASCENDING), ("shelf", ASCENDING), ("_id", DESCENDING)]
SHELVES = ("on_sale", "started", "reserved", "sold", "withdrawn")
STATUSES = {**{shelf: [shelf] for shelf in SHELVES}, "unsold": ["on_sale", "reserved"], "all": list(SHELVES)}
LONGEST_PREFIX = 12
MAXIMUM_WORDS = 6
LIST_MS = 2000
"""How long a query of a list may take."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FURTHEST_OFFSETS = timedelta(hours=26)
"""How far the clocks of two time zones are apart at most: UTC-12 and UTC+14."""
NO_START = 2**53
"""The start, as a number, of tickets that have none: they come last."""


@dataclass(frozen=True)
class Query:
    """Which tickets a list shows, and in what order.

    `index` alone answers `lookup`, in order, at the same cost whatever the number of tickets. `remainder` has the
    conditions that the index does not cover: they are checked on each ticket found.
    """

    lookup: Document
    remainder: Document
    sort: str
    index: Order
    words: tuple[str, ...] = ()
    """The words that are searched for."""

    @property
    def position(self) -> Mapping[str, type]:
        """Return the fields, with their types, that identify where a page of it ends; its index has them."""
        return {"_id": str, "starts" if self.sort == "soonest" else "price_cents": int}

    def scans(self, after: Document | None) -> list[tuple[Document, Order]]:
        """Return the queries, with their orders, that in sequence find the tickets of `lookup` after a position.

        Those that tie with the position come first. A single query, with `$or`, would be sorted in memory.
        """
        order = SORTS[self.sort]
        if after is None:
            return [(self.lookup, order)]
        return [
            (_from_tie(self.lookup, order[: number + 1], after, {ASCENDING: "$gt", DESCENDING: "$lt"}), order[number:])
            for number in reversed(range(len(order)))
        ]


def up_to(scan: Document, order: Order, last: Document) -> list[tuple[Document, Order]]:
    """Return the queries, with their orders, that in sequence find what `scan` finds up to a position."""
    before, until = {ASCENDING: "$lt", DESCENDING: "$gt"}, {ASCENDING: "$lte", DESCENDING: "$gte"}
    return [
        (_from_tie(scan, order[: number + 1], last, until if number == len(order) - 1 else before), order[number:])
        for number in range(len(order))
    ]


def is_beyond(position: Document, after: Document, order: Order) -> bool:
    """Return whether a position comes after another one in an order."""
    for name, direction in order:
        if position[name] != after[name]:
            return bool((position[name] > after[name]) == (direction == ASCENDING))
    return False


def _from_tie(scan: Document, order: Order, position: Document, operators: dict[int, str]) -> Document:
    """Return the query for ties with a position in all fields of `order` but the last, which is compared."""
    *equal, (name, direction) = order
    tie = {tied: position[tied] for tied, _ in equal}
    return {"$and": [scan, {**tie, name: {operators[direction]: position[name]}}]}


def public_list(
    status: str,
    sort: str,
    q: str | None = None,
    category: str | None = None,
    min_price_cents: int | None = None,
    max_price_cents: int | None = None,
    place: str | None = None,
    starts_from: datetime | None = None,
    starts_before: datetime | None = None,
    corrections: Mapping[str, str] | None = None,
    rarest_word: Callable[[Document, Sequence[str]], str] = lambda _, searched: searched[0],
) -> Query:
    """Return the query for the public list.

    An index finds the tickets with one word in order, but not those with several. So one word is looked up, and the
    tickets that have it are checked for the others: the rarer the word, the cheaper. `rarest_word(lookup, searched)`
    chooses it among the words that are searched for, longest first.

    A start is compared in the venue's local time, if its time zone is known: so a ticket is found by the day that it
    shows. The words of `place` are looked for in the venue. `corrections` maps words to those that are searched for
    instead.
    """
    lookup: Document = {"shelf": {"$in": STATUSES[status]}}
    remainder: Document = {}
    words, places = (_search_words(text, corrections or {}) for text in (q, place))
    if _is_punctuation(q, words) or _is_punctuation(place, places):
        lookup["shelf"] = {"$in": []}
    searched = sorted(dict.fromkeys((*words, *places)), key=len, reverse=True)
    if category is not None or searched:  # the index of words has the category before them
        lookup["category"] = {"$in": CATEGORIES} if category is None else category
    if searched:
        rarest = rarest_word(lookup, searched)
        lookup |= has_prefix(rarest)
        others = [word for word in words if word != rarest or len(word) > LONGEST_PREFIX]
        remainder |= _has_words({"words": others, "places": places})
    bounds = {"$gte": min_price_cents, "$lte": max_price_cents}
    if price := {operator: bound for operator, bound in bounds.items() if bound is not None}:
        (lookup if sort.startswith("price") else remainder)["price_cents"] = price
    if starts_from or starts_before:
        (lookup if sort == "soonest" else remainder)["starts"] = _between(starts_from, starts_before, FURTHEST_OFFSETS)
        begin, end = (moment and moment.replace(tzinfo=UTC) for moment in (starts_from, starts_before))
        without_zone = {"local_starts": None, "starts": _between(starts_from, starts_before)}
        remainder["$or"] = [{"local_starts": _between(begin, end)}, without_zone]
    return Query(lookup, remainder, sort, index_for(lookup, sort), tuple(searched))


def _between(begin: datetime | None, end: datetime | None, margin: timedelta = timedelta()) -> Document:
    """Return the condition for a number of `start_number`: from `begin`, before `end`, each moved by the margin."""
    found = {"$gte": start_number(begin - margin)} if begin else {}
    return {**found, "$lt": start_number(end and end + margin)}


def start_number(starts_at: datetime | None) -> int:
    """Return a start as the lists compare it: in milliseconds since 1970."""
    return NO_START if starts_at is None else (starts_at - EPOCH) // timedelta(milliseconds=1)


def local_start_number(starts_at: datetime | None, time_zone: str | None) -> int | None:
    """Return a start in the local time of its zone, as a number like `start_number`'s; None without a zone."""
    if starts_at is None or time_zone not in time_zones():
        return None
    return start_number(starts_at.astimezone(ZoneInfo(time_zone)).replace(tzinfo=UTC))


def index_for(lookup: Document, sort: str) -> Order:
    """Return the index that answers a `lookup` of the public list in this order."""
    names = [name for name in LOOKUPS[-1] if name in lookup]
    return [*((name, ASCENDING) for name in names), *ORDERS.get(sort, BY_PRICE)]


def seller_list(seller_id: str, status: str) -> Query:
    """Return the query for a seller's own list."""
    return Query({"seller_id": seller_id, "shelf": {"$in": STATUSES[status]}}, {}, "newest", SELLER_INDEX)


def event_list(event_id: str) -> Query:
    """Return the query for what is on sale of an event."""
    return Query({"shelf": "on_sale", "event_id": event_id}, {}, "price_asc", EVENT_INDEX)


def has_prefix(word: str) -> Document:
    """Return the query for tickets with a word that begins with `word`, or with as much of it as is indexed."""
    return {"prefixes": word[:LONGEST_PREFIX]}


def _search_words(text: str | None, corrections: Mapping[str, str]) -> list[str]:
    """Return the words that are searched for, the longest first."""
    words = sorted(searched_words(text), key=len, reverse=True)[:MAXIMUM_WORDS]
    return [corrections.get(word, word) for word in words]


def _is_punctuation(text: str | None, words: Sequence[str]) -> bool:
    """Return whether a text is not empty and yet has no words, so that it finds nothing."""
    return bool(text) and not str(text).isspace() and not words


def _has_words(beginnings: Mapping[str, Iterable[str]]) -> Document:
    """Return the query for tickets whose fields have, for each of these, a word with that prefix."""
    conditions = [{field: {"$regex": f"^{re.escape(word)}"}} for field, words in beginnings.items() for word in words]
    return {"$and": conditions} if conditions else {}
