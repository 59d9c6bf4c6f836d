"""What a list of tickets shows, as queries that MongoDB answers from an index, in order."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import ASCENDING, DESCENDING

from libs.contracts.limits import CATEGORIES
from tickets.domain import words

Document = dict[str, Any]
Order = list[tuple[str, int]]

SORTS: dict[str, Order] = {
    "newest": [("_id", DESCENDING)],
    "price_asc": [("price_cents", ASCENDING), ("_id", ASCENDING)],
    "price_desc": [("price_cents", DESCENDING), ("_id", DESCENDING)],
}
NEWEST, BY_PRICE = [*SORTS["newest"], ("price_cents", ASCENDING)], SORTS["price_asc"]
KINDS = (["shelf"], ["shelf", "category"], ["shelf", "category", "prefixes"])
OFFERS: list[Order] = [[*((name, ASCENDING) for name in kind), *sort] for kind in KINDS for sort in (NEWEST, BY_PRICE)]
OF_SELLER: Order = [("seller_id", ASCENDING), ("shelf", ASCENDING), ("_id", DESCENDING)]
SHELVES = ("on_sale", "started", "reserved", "sold", "withdrawn")
STATUSES = {**{status: [status] for status in ("on_sale", "reserved", "sold", "withdrawn")}, "all": list(SHELVES)}
LONGEST_PREFIX = 12
MOST_WORDS = 6


@dataclass(frozen=True)
class Query:
    """Which tickets a list shows, and in what order.

    What is `indexed` is found in `index` alone and in order, at the same cost whatever the number of tickets. The
    `rest` of the question is asked of these tickets, one by one.
    """

    indexed: Document
    rest: Document
    sort: str
    index: Order

    def scans(self, after: Document | None) -> list[tuple[Document, Order]]:
        """Return the queries, with their orders, that one after another find what is indexed beyond a position.

        What ties with the position comes first. One query for all, with `$or`, would be sorted in memory.
        """
        order = SORTS[self.sort]
        if after is None:
            return [(self.indexed, order)]
        return [
            (_narrowed(self.indexed, order[: number + 1], after, {ASCENDING: "$gt", DESCENDING: "$lt"}), order[number:])
            for number in reversed(range(len(order)))
        ]


def up_to(scan: Document, order: Order, last: Document) -> list[tuple[Document, Order]]:
    """Return the queries, with their orders, that one after another find what `scan` finds up to a position."""
    before, until = {ASCENDING: "$lt", DESCENDING: "$gt"}, {ASCENDING: "$lte", DESCENDING: "$gte"}
    return [
        (_narrowed(scan, order[: number + 1], last, until if number == len(order) - 1 else before), order[number:])
        for number in range(len(order))
    ]


def _narrowed(scan: Document, order: Order, place: Document, operators: dict[int, str]) -> Document:
    """Return the query for what ties with a place, but for the last field in `order`, which is beyond or before it."""
    *equal, (name, direction) = order
    return {"$and": [scan, {**{tied: place[tied] for tied, _ in equal}, name: {operators[direction]: place[name]}}]}


def on_offer(
    status: str,
    sort: str,
    q: str | None = None,
    category: str | None = None,
    min_price_cents: int | None = None,
    max_price_cents: int | None = None,
    rarest: Callable[[Document, Sequence[str]], str] = lambda _, searched: searched[0],
) -> Query:
    """Return the query for the public list.

    Of several words, the longest first, the one that `rarest` returns is looked up, and its tickets are searched for
    the others.
    """
    searched = sorted(words(q), key=len, reverse=True)[:MOST_WORDS]
    indexed: Document = {"shelf": {"$in": STATUSES[status]}}
    if category is not None or searched:
        indexed["category"] = {"$in": CATEGORIES} if category is None else category
    rest: Document = {}
    if searched:
        looked_up = rarest(indexed, searched)
        indexed |= begins(looked_up)
        others = [word for word in searched if word != looked_up or len(word) > LONGEST_PREFIX]
        rest = {"$and": [{"words": {"$regex": f"^{re.escape(word)}"}} for word in others]} if others else {}
    bounds = {"$gte": min_price_cents, "$lte": max_price_cents}
    if price := {operator: bound for operator, bound in bounds.items() if bound is not None}:
        (rest if sort == "newest" else indexed)["price_cents"] = price
    return Query(indexed, rest, sort, index(indexed, sort))


def index(indexed: Document, sort: str) -> Order:
    """Return the index that finds what is `indexed` in this order."""
    names = [name for name in KINDS[-1] if name in indexed]
    return [*((name, ASCENDING) for name in names), *(NEWEST if sort == "newest" else BY_PRICE)]


def of_seller(seller_id: str, status: str) -> Query:
    """Return the query for a seller's own list, in which what has started is still on sale."""
    shelves = [*STATUSES[status], "started"] if status == "on_sale" else STATUSES[status]
    return Query({"seller_id": seller_id, "shelf": {"$in": shelves}}, {}, "newest", OF_SELLER)


def begins(word: str) -> Document:
    """Return the query for tickets with a word that begins like this one, as far as beginnings are indexed."""
    return {"prefixes": word[:LONGEST_PREFIX]}
