"""The listings, in MongoDB."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from libs.events import Aggregates, Event
from tickets.domain import CATEGORIES, Ticket, TicketNotFound, words

Document = dict[str, Any]
Order = list[tuple[str, int]]

DERIVED = ("shelf", "words", "prefixes")
SORTS: dict[str, Order] = {
    "newest": [("_id", DESCENDING)],
    "price_asc": [("price_cents", ASCENDING), ("_id", ASCENDING)],
    "price_desc": [("price_cents", DESCENDING), ("_id", DESCENDING)],
}
SHELVES = ("on_sale", "started", "reserved", "sold", "withdrawn")
STATUSES = {**{status: [status] for status in ("on_sale", "reserved", "sold", "withdrawn")}, "all": list(SHELVES)}
LONGEST_PREFIX = 12
MOST_WORDS = 6
FEW = 200
"""How far the tickets with a word are counted to see which of several words is the rarest."""
SLOWEST_LIST_MS = 2000


def new_id() -> str:
    """Return a fresh id; later ones sort after earlier ones."""
    return str(ObjectId())


class TicketStore:
    """Listings with their outboxes, and beside a ticket's fields some that are stored for the lists alone.

    `shelf` is where the lists find a ticket: its status, or "started" for one that nobody bought in time; `words` are
    those of its title and venue, `prefixes` the beginnings of these.
    """

    def __init__(self, db: Database[Document]) -> None:
        self.tickets = Aggregates(db.tickets)

    def create_indexes(self) -> None:
        """Index every list that the pages and the API offer.

        Each index first fixes what is equal, then sorts; MongoDB merges the scans of several shelves or categories in
        order, so that a page costs the same whatever the number of tickets. Two questions have no such index and cost
        as much as their best one finds: several words at once (the tickets with the rarest of them), and a range of
        prices sorted by age.
        """
        collection = self.tickets.collection
        newest, by_price = [("_id", DESCENDING), ("price_cents", ASCENDING)], SORTS["price_asc"]
        for sort in (newest, by_price):
            collection.create_index([("shelf", ASCENDING), *sort])
            collection.create_index([("shelf", ASCENDING), ("category", ASCENDING), *sort])
            collection.create_index([("shelf", ASCENDING), ("category", ASCENDING), ("prefixes", ASCENDING), *sort])
        collection.create_index([("seller_id", ASCENDING), ("shelf", ASCENDING), ("_id", DESCENDING)])
        collection.create_index([("shelf", ASCENDING), ("starts_at", ASCENDING)])

    def get(self, ticket_id: str) -> Ticket:
        """Return a ticket; raise TicketNotFound."""
        found = self.tickets.find(ticket_id)
        if found is None:
            raise TicketNotFound("There is no such ticket.")
        return _ticket(found)

    def add(self, ticket: Ticket, event: Event) -> None:
        """Insert a new ticket with the event that announces it."""
        self.tickets.add(stored(ticket), event, ticket.public())

    def save(self, ticket: Ticket, event: Event) -> None:
        """Save a changed ticket with the event that tells of it; raise VersionConflict."""
        self.tickets.save(stored(ticket), event, ticket.public())

    def stale(self, page: Sequence[Sequence[Any]]) -> Any:
        """Return the ids of the orders in [[id, version, ticket_id, no], ...] that their tickets have not heard of."""
        where = {"_id": {"$in": [ticket_id for _, _, ticket_id, _ in page]}}
        held = {found["_id"]: found["reservation"] for found in self.tickets.collection.find(where, {"reservation": 1})}
        known = {ident: (found["no"], found["version"]) if found else (0, 0) for ident, found in held.items()}
        return [ident for ident, version, ticket_id, no in page if known.get(ticket_id, (no, version)) < (no, version)]

    def list(self, where: Document, sort: str, limit: int, after: Document | None) -> list[Ticket]:
        """Return at most `limit` tickets that match, in the order `sort`, those beyond the position `after`."""
        found: list[Document] = []
        for scan, order in scans(where, sort, after):
            options = {"sort": order, "limit": limit - len(found), "max_time_ms": SLOWEST_LIST_MS}
            found += self.tickets.find_all(scan, **options)
            if len(found) == limit:
                break
        return [_ticket(ticket) for ticket in found]

    def rarest(self, searched: Sequence[str]) -> str:
        """Return that of the words which the fewest tickets have; the longer one where a short count cannot tell."""

        def tickets_with(word: str) -> int:
            where = {"shelf": {"$in": SHELVES}, "category": {"$in": CATEGORIES}, **_begins(word)}
            return self.tickets.collection.count_documents(where, limit=FEW, maxTimeMS=SLOWEST_LIST_MS)

        counts = {word: tickets_with(word) for word in searched} if len(searched) > 1 else {}
        return min(searched, key=lambda word: (counts.get(word, 0), -len(word)))

    def sales(self, seller_id: str) -> Any:
        """Return what a seller has sold, as [{currency, tickets, owed_cents}, ...]; what was refunded is not owed."""
        kept = {"$subtract": ["$reservation.price_cents", {"$ifNull": ["$reservation.refunded_cents", 0]}]}
        owed = {"$cond": ["$reservation.is_refunded", 0, kept]}
        steps: Sequence[Document] = [
            {"$match": {"seller_id": seller_id, "shelf": "sold"}},
            {"$group": {"_id": "$currency", "tickets": {"$sum": 1}, "owed_cents": {"$sum": owed}}},
            {"$sort": {"_id": 1}},
            {"$project": {"_id": 0, "currency": "$_id", "tickets": 1, "owed_cents": 1}},
        ]
        return list(self.tickets.collection.aggregate(steps, maxTimeMS=SLOWEST_LIST_MS))

    def shelve_started(self, now: datetime) -> int:
        """Take what has started by now out of the lists of what is on sale; return how many tickets that were."""
        started = {"shelf": "on_sale", "starts_at": {"$lte": now}}
        return self.tickets.collection.update_many(started, {"$set": {"shelf": "started"}}).modified_count


def _longest(searched: Sequence[str]) -> str:
    return max(searched, key=len)


def on_offer(
    status: str,
    now: datetime,
    q: str | None = None,
    category: str | None = None,
    min_price_cents: int | None = None,
    max_price_cents: int | None = None,
    rarest: Callable[[Sequence[str]], str] = _longest,
) -> Document:
    """Return the query for the public list. What is on sale has not started yet.

    Of several words the one that `rarest` returns is looked up, and its tickets are searched for the others.
    """
    where: Document = {"shelf": {"$in": STATUSES[status]}}
    if status == "on_sale":
        where["starts_at"] = {"$not": {"$lte": now}}
    if category is not None:
        where["category"] = category
    if searched := sorted(words(q), key=len, reverse=True)[:MOST_WORDS]:
        where = {"category": {"$in": CATEGORIES}, **where, **_search(searched, rarest(searched))}
    bounds = {"$gte": min_price_cents, "$lte": max_price_cents}
    price = {operator: bound for operator, bound in bounds.items() if bound is not None}
    return {**where, "price_cents": price} if price else where


def of_seller(seller_id: str, status: str) -> Document:
    """Return the query for a seller's own list, in which what has started is still on sale."""
    shelves = STATUSES[status]
    return {"seller_id": seller_id, "shelf": {"$in": [*shelves, "started"] if status == "on_sale" else shelves}}


def position(ticket: Ticket, sort: str) -> Document:
    """Return the place of a ticket in the order `sort`, from which a next page goes on."""
    place = {"_id": ticket.id, "price_cents": ticket.price_cents}
    return {name: place[name] for name, _ in SORTS[sort]}


def scans(where: Document, sort: str, after: Document | None) -> list[tuple[Document, Order]]:
    """Return the queries, with their orders, that one after another find what is beyond the position `after`.

    What ties with the position comes first. One query for all, with `$or`, would be sorted in memory.
    """
    order = SORTS[sort]
    if after is None:
        return [(where, order)]
    found: list[tuple[Document, Order]] = []
    equal: Document = {}
    for number, (name, direction) in enumerate(order):
        beyond = {**equal, name: {"$gt" if direction == ASCENDING else "$lt": after[name]}}
        found.insert(0, ({"$and": [where, beyond]}, order[number:]))
        equal[name] = after[name]
    return found


def _begins(word: str) -> Document:
    return {"prefixes": word[:LONGEST_PREFIX]}


def _search(searched: list[str], looked_up: str) -> Document:
    """Return the query for tickets with words that begin so, of which one is looked up."""
    rest = [word for word in searched if word != looked_up or len(word) > LONGEST_PREFIX]
    found = _begins(looked_up)
    if rest:
        found["$and"] = [{"words": {"$regex": f"^{re.escape(word)}"}} for word in rest]
    return found


def stored(ticket: Ticket) -> Document:
    """Return what is stored of a ticket that was saved just now, with its `id`."""
    started = ticket.starts_at is not None and ticket.starts_at <= ticket.updated_at
    found = words(ticket.title, ticket.venue)
    prefixes = {word[:length] for word in found for length in range(1, min(len(word), LONGEST_PREFIX) + 1)}
    shelf = "started" if started and ticket.status == "on_sale" else ticket.status
    return {**asdict(ticket), "shelf": shelf, "words": found, "prefixes": sorted(prefixes)}


def _ticket(found: Document) -> Ticket:
    return Ticket(**{name: value for name, value in found.items() if name not in DERIVED})
