"""A list with one ticket of each event: the first in the order of the whole list.

So whether an earlier page has shown an event follows from the order alone, without a state across pages.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection

from tickets.domain import Ticket
from tickets.lists import EVENT_INDEX, LIST_MS, SORTS, Document, Order, Query, is_beyond, start_number

Find = Callable[[Document, Order, int], list[Ticket]]
"""Returns the tickets that a query finds, in an order, and at most a number of them."""
MOST_QUERIES, MOST_ASKED = 24, 200
"""How often a page looks for tickets of other events, and for how many at once: each time for twice as many."""


class OneOfEach:
    """Finds tickets as `find` does, but of each event only the first of the list `query`, and none before `after`.

    `count(idents)` is `count_events` of that list. An instance is for one page. After MOST_QUERIES it stops, and the
    page may be short: then `looked_at` is the last ticket that it has examined.
    """

    looked_at: Ticket | None = None

    def __init__(
        self, query: Query, after: Document | None, find: Find, count: Callable[[list[str]], dict[str, Document]]
    ) -> None:
        self._order, self._after = SORTS[query.sort], after
        self._find = find
        self._count = count
        self._events: dict[str, Document] = {}
        self._alone: list[str] = []
        """Tickets without an event, which a program of an earlier version listed since the last migration."""

    def __call__(self, part: Document, order: Order, most: int) -> list[Ticket]:
        """Return at most so many of the tickets that `part` finds."""
        found: list[Ticket] = []
        beyond: Document = {}
        for number in range(MOST_QUERIES):
            asked = min((most - len(found)) * 2**number, max(most, MOST_ASKED))
            seen = {"event_id": {"$nin": [*self._events]}, "_id": {"$nin": self._alone}}
            new = {"$and": [part, beyond, seen]} if self._events or self._alone else part
            tickets = self._find(new, order, asked)
            firsts = self._firsts(tickets)
            found += [ticket for ticket in firsts.values() if self._is_new(ticket)]
            if len(tickets) < asked or len(found) >= most:
                return found[:most]
            beyond = _from(tickets[-1], order)  # so that the next query need not skip the same tickets again
        self.looked_at = tickets[-1]
        return found

    def event_of(self, ticket: Ticket) -> Document:
        """Return how many `tickets` of a ticket's event the list has, and the price and currency of one of them.

        That is the cheapest on sale, or the cheapest of all when none is.
        """
        event = self._events.get(ticket.event_id or "") or _alone(ticket)
        return {name: event[name] for name in ("tickets", "price_cents", "currency")}

    def _firsts(self, tickets: list[Ticket]) -> Mapping[str, Ticket]:
        """Return the first ticket of each event among these, which are in order and of events not seen before."""
        firsts: dict[str, Ticket] = {}
        for ticket in tickets:
            firsts.setdefault(ticket.event_id or ticket.id, ticket)
        events = {ident: ticket for ident, ticket in firsts.items() if ticket.event_id}
        self._alone += firsts.keys() - events.keys()
        # those that have changed since they were found count for themselves
        self._events |= {ident: _alone(ticket) for ident, ticket in events.items()} | self._count([*events])
        return firsts

    def _is_new(self, ticket: Ticket) -> bool:
        """Return whether no page before has shown the ticket's event."""
        event = self._events.get(ticket.event_id or "")
        return self._after is None or event is None or is_beyond(event["first"], self._after, self._order)


def count_events(tickets: Collection[Document], query: Query, idents: list[str]) -> dict[str, Document]:
    """Return the totals of a list for these events, as {"tickets", "price_cents", "currency", "first"}.

    That is how many tickets, the price as in `event_of`, and the position of the first in the list's order. The index
    covers the query, unless the list is one of words.
    """
    if not idents:
        return {}
    order = SORTS[query.sort]
    taken = {"$ne": ["$shelf", "on_sale"]}  # compared first
    cheapest = {"taken": taken, "price_cents": "$price_cents", "currency": "$currency"}
    first = {"$min" if order[0][1] == ASCENDING else "$max": {name: f"${name}" for name, _ in order}}
    steps: list[Document] = [
        {"$match": {"$and": [{"event_id": {"$in": idents}}, query.lookup, query.remainder]}},
        {"$group": {"_id": "$event_id", "tickets": {"$sum": 1}, "cheapest": {"$min": cheapest}, "first": first}},
    ]
    found: Any = tickets.aggregate(steps, hint=dict(EVENT_INDEX), maxTimeMS=LIST_MS)
    return {each["_id"]: {**each["cheapest"], "tickets": each["tickets"], "first": each["first"]} for each in found}


def place(ticket: Ticket, query: Query | None = None) -> Document:
    """Return a ticket's position in a list, or the fields from which that of any list is made."""
    known = {"_id": ticket.id, "price_cents": ticket.price_cents, "starts": start_number(ticket.starts_at)}
    return {name: known[name] for name in query.position} if query else known


def _from(ticket: Ticket, order: Order) -> Document:
    """Return the query for a ticket and those after it by the first field of an order."""
    name, direction = order[0]
    value = ticket.starts_at if name == "starts_at" else place(ticket)[name]
    return {name: {"$gte" if direction == ASCENDING else "$lte": value}}


def _alone(ticket: Ticket) -> Document:
    return {"tickets": 1, "price_cents": ticket.price_cents, "currency": ticket.currency, "first": place(ticket)}
