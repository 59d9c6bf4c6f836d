"""The listings, in MongoDB."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from functools import partial
from typing import Any, cast

from bson import ObjectId
from pymongo import ASCENDING, IndexModel
from pymongo.database import Database

from libs import clock
from libs.contracts.errors import TicketNotFound
from libs.contracts.events import TicketReservationChanged
from libs.events import CHANGES_INDEX, OUTBOX_INDEX, Aggregates, Event, Schema
from tickets import lists
from tickets.domain import Ticket
from tickets.event_identity import event_id
from tickets.grouping import Find, OneOfEach, count_events, place
from tickets.lists import LIST_MS, LONGEST_PREFIX, Document, Order, Query, has_prefix, up_to
from tickets.spelling import NEAR_INDEX, Spelling
from tickets.words import indexed_words

TICKET_FIELDS = [field.name for field in fields(Ticket)]
REVISION = ("revision", "revision_of")
READ = {"_id": 1, **{name: 1 for name in (*TICKET_FIELDS, *REVISION) if name != "id"}}
"""The projection for reading tickets: without words and prefixes, which are most of a document."""
ADDED = dict.fromkeys(("seat", "city", "time_zone"))
"""The details that tickets of earlier versions lack."""
DETAILS = ("title", "price_cents", "category", "venue", "starts_at", *ADDED)
COUNT_LIMIT = 200
"""How many tickets with a word are counted at most, to see which of several words is the rarest."""
EXAMINED = (200, 1800)
"""How many tickets that an index finds are examined for conditions that it does not cover, for one page of a list:
first enough for a page where many meet the conditions, then more."""
MOST_COUNTED = 1000
"""How many tickets that an index finds are examined for conditions that it does not cover, to count those of a list."""
MOST_CORRECTED = 2
"""How many words of a search are corrected at most."""
SITE_MAP_PAGE = 2000
"""How many tickets a page of the site map has."""


def new_id() -> str:
    """Return a fresh id; later ones sort after earlier ones."""
    return str(ObjectId())


def searchable_fields(
    title: str, venue: str | None, city: str | None, starts_at: datetime | None, time_zone: str | None
) -> Document:
    """Return the fields that are stored of a ticket for lists."""
    words = indexed_words(title, venue, city)
    prefixes = {word[:length] for word in words for length in range(1, min(len(word), LONGEST_PREFIX) + 1)}
    return {
        "words": words,
        "prefixes": sorted(prefixes),
        "places": indexed_words(venue, city),
        "starts": lists.start_number(starts_at),
        "local_starts": lists.local_start_number(starts_at, time_zone),
    }


def renew_words(db: Database[Document]) -> int:
    """Recompute the search fields of tickets that an earlier version stored differently, and store their words."""
    read = ("version", *DETAILS, "words", "prefixes", "places", "starts", "local_starts", "event_id")
    renewed, spelling = 0, Spelling(db.words)
    for found in db.tickets.find({}, read):
        where = found.get("city"), found["starts_at"], found.get("time_zone")
        words = searchable_fields(found["title"], found["venue"], *where)
        words["event_id"] = event_id(found["title"], found["venue"], found["starts_at"])
        spelling.learn(words["words"])
        if words != {name: found.get(name) for name in words}:
            unchanged = {"_id": found["_id"], "version": found["version"]}
            renewed += db.tickets.update_one(unchanged, {"$set": words}).modified_count
    return renewed


class TicketStore:
    """Listings with their outboxes, and in addition to a ticket's fields some that are only stored for the lists.

    `shelf` is where the lists find a ticket: its status, or "started" if nobody bought it in time. `words` are those of
    its title and venue, `prefixes` their beginnings, `places` the words of the venue; `starts` is its start as a
    number, `local_starts` that of the venue's clock. A ticket that was listed with an idempotency key has the key, and
    in `listed_as` the details given then.

    Each index of the lists first fixes what is equal, then sorts; MongoDB merges the scans of several shelves or
    categories in order, so that a page costs the same whatever the number of tickets.
    """

    schema = Schema(
        {
            "tickets": [
                OUTBOX_INDEX,
                CHANGES_INDEX,
                *map(IndexModel, (*lists.PUBLIC_INDEXES, lists.SELLER_INDEX, lists.EVENT_INDEX)),
                IndexModel(lists.SOONEST_INDEX),
                IndexModel(
                    [("seller_id", ASCENDING), ("idempotency_key", ASCENDING)],
                    unique=True,
                    partialFilterExpression={"idempotency_key": {"$exists": True}},
                ),
            ],
            "words": [NEAR_INDEX],
        },
        steps=[renew_words],
    )

    def __init__(self, db: Database[Document]) -> None:
        self.tickets = Aggregates(db.tickets)
        self.spelling = Spelling(db.words)

    def get(self, ticket_id: str) -> Ticket:
        """Return a ticket; raise TicketNotFound."""
        found = self.tickets.collection.find_one({"_id": ticket_id}, READ)
        if found is None:
            raise TicketNotFound("There is no such ticket.")
        return _from_document(found)

    def get_all(self, ids: Sequence[str]) -> Any:
        """Return the tickets with these ids that exist."""
        return [_from_document(found) for found in self.tickets.collection.find({"_id": {"$in": ids}}, READ)]

    def find_by_key(self, seller_id: str, idempotency_key: str) -> tuple[Ticket, Document] | None:
        """Return the ticket that this seller listed with this idempotency key, and the details that came with it."""
        where = {"seller_id": seller_id, "idempotency_key": idempotency_key}
        found = self.tickets.collection.find_one(where, {**READ, "listed_as": 1})
        if found is None:
            return None
        listed_as = ADDED | found.pop("listed_as")
        return _from_document(found), listed_as

    def add(self, ticket: Ticket, event: Event, idempotency_key: str | None = None) -> None:
        """Insert a new ticket with the event that announces it; raise DuplicateKeyError when its key is in use."""
        fields = to_document(ticket)
        if idempotency_key is not None:
            # without what is not given of ADDED, as programs of the version before compare it
            listed_as = {name: fields[name] for name in DETAILS if name not in ADDED or fields[name] is not None}
            fields |= {"idempotency_key": idempotency_key, "listed_as": listed_as}
        self.spelling.learn(fields["words"])
        self.tickets.add(fields, event, ticket.snapshot())

    def save(self, ticket: Ticket, event: Event) -> None:
        """Save a changed ticket with the event of the change; raise VersionConflict."""
        fields = to_document(ticket)
        self.spelling.learn(fields["words"])
        self.tickets.save(fields, event, ticket.snapshot())

    def save_reservation(self, ticket: Ticket) -> None:
        """Save a ticket of which only the reservation changed, with the event of that; raise VersionConflict."""
        self.tickets.save(_reserved(ticket), TicketReservationChanged, ticket.snapshot())

    def save_reservations(self, tickets: Sequence[Ticket]) -> int:
        """Save tickets as `save_reservation` does, except those that changed meanwhile; return how many were saved."""
        changed = [(_reserved(ticket), ticket.snapshot()) for ticket in tickets]
        return self.tickets.save_all(changed, TicketReservationChanged)

    def revisions(self, after: str | None, limit: int) -> list[list[Any]]:
        """Return [[id, revision], ...] of at most `limit` tickets in order of their ids, beyond `after`."""
        return _revisions(self.tickets.versions(after, limit, *REVISION))

    def changed_revisions(self, after: Sequence[int] | None, limit: int) -> Document:
        """Return the tickets that changed beyond a position, as `Aggregates.changes` does, with such pages."""
        changes = self.tickets.changes(after, limit, *REVISION)
        return {**changes, "page": _revisions(changes["page"])}

    def stale(self, page: Sequence[Sequence[Any]]) -> Any:
        """Return the ids of the orders in [[id, version, ticket_id, no], ...] not applied to their tickets yet."""
        where = {"_id": {"$in": [ticket_id for _, _, ticket_id, _ in page]}}
        held = {found["_id"]: found["reservation"] for found in self.tickets.collection.find(where, {"reservation": 1})}
        known = {ident: (found["no"], found["version"]) if found else (0, 0) for ident, found in held.items()}
        return [ident for ident, version, ticket_id, no in page if known.get(ticket_id, (no, version)) < (no, version)]

    def list(
        self, query: Query, limit: int, after: Document | None, chosen: OneOfEach | None = None
    ) -> tuple[list[Ticket], Document | None]:
        """Return the next tickets of a list after a position, and the position where they end, None at the list's end.

        There are `limit` of them, or fewer when as many tickets as EXAMINED says were looked at; those that tie with a
        position are counted by themselves. `chosen` finds them if not all are shown.
        """
        find: Find = chosen or partial(self._find, query)
        found: list[Ticket] = []
        for most in EXAMINED:
            parts, last = self._parts(query, after, most)
            for part, order in parts:
                found += find(part, order, limit + 1 - len(found))
                if len(found) > limit:
                    return found[:limit], place(found[limit - 1], query)
                if chosen and chosen.looked_at:
                    return found, place(chosen.looked_at, query)
            if last is None:
                return found, None
            after = last
        return found, after

    def list_events(self, query: Query, limit: int, after: Document | None) -> Any:
        """Return a list as `list` does, but only the first ticket of each event, with the totals of OneOfEach."""
        chosen = self._one_of_each(query, after)
        found, following = self.list(query, limit, after, chosen)
        return [(ticket, chosen.event_of(ticket)) for ticket in found], following

    def count_event(self, ident: str) -> dict[str, int]:
        """Return how many tickets of an event there are on each shelf, from the index alone."""
        steps: Sequence[Document] = [
            {"$match": {"shelf": {"$in": lists.SHELVES}, "event_id": ident}},
            {"$group": {"_id": "$shelf", "tickets": {"$sum": 1}}},
        ]
        found = self.tickets.collection.aggregate(steps, hint=dict(lists.EVENT_INDEX), maxTimeMS=LIST_MS)
        return {each["_id"]: each["tickets"] for each in found}

    def find_of_event(self, ident: str) -> Ticket | None:
        """Return a ticket of an event, whatever its status."""
        where = {"shelf": {"$in": lists.SHELVES}, "event_id": ident}
        found = self.tickets.collection.find_one(where, READ, hint=lists.EVENT_INDEX, max_time_ms=LIST_MS)
        return None if found is None else _from_document(found)

    def rarest_word(self, lookup: Document, searched: Sequence[str]) -> str:
        """Return the word that the fewest tickets of the `lookup` have; of several such words, the first.

        Counting stops at COUNT_LIMIT: among words as frequent as that, it does not matter which is looked up.
        """
        if len(searched) == 1:
            return searched[0]
        return min(searched, key=lambda word: self._tickets_with(lookup, word, COUNT_LIMIT))

    def count(self, query: Query) -> Document:
        """Return {"tickets", "is_all"}: how many a list has, or the first of them if not all; COUNT_LIMIT at most."""
        where, options = query.lookup, cast(Document, {"hint": dict(query.index), "maxTimeMS": LIST_MS})
        if not query.remainder:
            found = self.tickets.collection.count_documents(where, limit=COUNT_LIMIT + 1, **options)
            return {"tickets": min(found, COUNT_LIMIT), "is_all": found <= COUNT_LIMIT}
        examined: list[Document] = [{"$match": where}, {"$limit": MOST_COUNTED}]
        steps = [*examined, {"$match": query.remainder}, {"$limit": COUNT_LIMIT + 1}, {"$count": "tickets"}]
        found = next(self.tickets.collection.aggregate(steps, **options), {"tickets": 0})["tickets"]
        is_all = found <= COUNT_LIMIT and (
            self.tickets.collection.count_documents(where, limit=MOST_COUNTED, **options) < MOST_COUNTED
        )
        return {"tickets": min(found, COUNT_LIMIT), "is_all": is_all}

    def corrections(self, query: Query) -> dict[str, str]:
        """Return, for the words of a search that no ticket of its list has, the most similar and frequent ones instead.

        Empty unless there is one for each of them, and if there are more than MOST_CORRECTED.
        """
        lookup = {name: value for name, value in query.lookup.items() if name in ("shelf", "category")}
        unknown = [word for word in query.words if not self._tickets_with(lookup, word, 1)]
        if len(unknown) > MOST_CORRECTED:
            return {}
        near = {word: self.spelling.near(word) for word in unknown}
        chosen = {}
        for word, candidates in near.items():
            counted = COUNT_LIMIT if len(candidates) > 1 else 1
            counts = {each: self._tickets_with(lookup, each, counted) for each in candidates}
            best = max(counts, key=lambda each: counts[each], default=None)
            if best is None or not counts[best]:
                return {}
            chosen[word] = best
        return chosen

    def sales(self, seller_id: str) -> Any:
        """Return what a seller has sold, as [{currency, tickets, owed_cents}, ...]; what was refunded is not owed."""
        owed = {"$subtract": ["$reservation.price_cents", {"$ifNull": ["$reservation.refunded_cents", 0]}]}
        steps: Sequence[Document] = [
            {"$match": {"seller_id": seller_id, "shelf": "sold"}},
            {"$group": {"_id": "$currency", "tickets": {"$sum": 1}, "owed_cents": {"$sum": owed}}},
            {"$sort": {"_id": 1}},
            {"$project": {"_id": 0, "currency": "$_id", "tickets": 1, "owed_cents": 1}},
        ]
        return list(self.tickets.collection.aggregate(steps, maxTimeMS=LIST_MS))

    def count_sold(self, seller_ids: Sequence[str]) -> Any:
        """Return how many tickets those of these users who have listed any have sold, as [{id, sold}, ...].

        The index covers the query, without reading what else they have listed.
        """
        theirs = {"seller_id": {"$in": seller_ids}}
        listed: Any = [{"$match": theirs}, {"$group": {"_id": "$seller_id"}}]
        sold: Any = [{"$match": {**theirs, "shelf": "sold"}}, {"$group": {"_id": "$seller_id", "sold": {"$sum": 1}}}]
        sellers, counts = (
            self.tickets.collection.aggregate(steps, hint=dict(lists.SELLER_INDEX), maxTimeMS=LIST_MS)
            for steps in (listed, sold)
        )
        sold_by = {each["_id"]: each["sold"] for each in counts}
        return [{"id": each["_id"], "sold": sold_by.get(each["_id"], 0)} for each in sellers]

    def list_soonest(self, now: datetime, limit: int) -> Any:
        """Return the first tickets on sale of the events that start soonest after `now`, as `list_events` does."""
        query = Query({"shelf": "on_sale", "starts_at": {"$gt": now}}, {}, "newest", lists.SOONEST_INDEX)
        chosen = self._one_of_each(query, None)
        found = chosen(query.lookup, lists.SOONEST_INDEX[1:], limit)
        return [(ticket, chosen.event_of(ticket)) for ticket in found]

    def site_map_events(self, after: str | None) -> Any:
        """Return the events of SITE_MAP_PAGE tickets on sale, in order of their ids, from the index alone."""
        found = self._events_after(after).limit(SITE_MAP_PAGE)
        return [*dict.fromkeys(each["event_id"] for each in found if each.get("event_id"))]

    def site_map_event_pages(self) -> Any:
        """Return the last event of each page of the site map of events but the last page, from the index alone."""
        ends: Any = []
        while last := next(self._events_after(ends[-1] if ends else None).skip(SITE_MAP_PAGE - 1), None):
            ends.append(last["event_id"])
        return ends

    def site_map(self, after: str | None) -> Any:
        """Return [id, updated_at] of SITE_MAP_PAGE tickets on sale, those listed first first."""
        fields = {"updated_at": 1}
        found = self._on_sale_after(after, fields).limit(SITE_MAP_PAGE)
        return [[each["_id"], clock.iso(each["updated_at"])] for each in found]

    def site_map_pages(self) -> Any:
        """Return the id of the last ticket of each page of the site map but the last page, from the index alone."""
        ends: Any = []
        while last := next(self._on_sale_after(ends[-1] if ends else None, {"_id": 1}).skip(SITE_MAP_PAGE - 1), None):
            ends.append(last["_id"])
        return ends

    def _on_sale_after(self, after: str | None, fields: Document) -> Any:
        where = {"shelf": "on_sale", **({"_id": {"$gt": after}} if after else {})}
        cursor = self.tickets.collection.find(where, fields, sort=[("_id", ASCENDING)], max_time_ms=LIST_MS)
        return cursor.hint(lists.PUBLIC_INDEXES[0])

    def _events_after(self, after: str | None) -> Any:
        where = {"shelf": "on_sale", "event_id": {"$gt": after or ""}}
        fields, order = {"_id": 0, "event_id": 1}, [("event_id", ASCENDING)]
        cursor = self.tickets.collection.find(where, fields, sort=order, max_time_ms=LIST_MS)
        return cursor.hint(lists.EVENT_INDEX)

    def take_started_off_sale(self, now: datetime) -> int:
        """Move tickets that have started out of the lists of those on sale; return how many there were."""
        started = {"shelf": "on_sale", "starts_at": {"$lte": now}}
        return self.tickets.collection.update_many(started, {"$set": {"shelf": "started"}}).modified_count

    def _tickets_with(self, lookup: Document, word: str, limit: int) -> int:
        """Return how many tickets of the `lookup` have a word that begins with `word`, `limit` at most."""
        where = {**lookup, **has_prefix(word)}
        hint = lists.index_for(where, "newest")
        return self.tickets.collection.count_documents(where, limit=limit, hint=hint, maxTimeMS=LIST_MS)

    def _parts(
        self, query: Query, after: Document | None, most: int
    ) -> tuple[Sequence[tuple[Document, Order]], Document | None]:
        """Return the queries, with their orders, that examine the tickets after a position, and where they end.

        That is None at the list's end, or the position of the last of `most` tickets.
        """
        parts: Any = []
        for scan, order in query.scans(after):
            if query.remainder:
                options = {"sort": order, "skip": most - 1, "hint": query.index, "max_time_ms": LIST_MS}
                fields = {"_id": 1, **dict.fromkeys(query.position, 1)}
                if last := self.tickets.collection.find_one(scan, fields, **options):
                    return [*parts, *up_to(scan, order, last)], last
            parts.append((scan, order))
        return parts, None

    def _one_of_each(self, query: Query, after: Document | None) -> OneOfEach:
        count = partial(count_events, self.tickets.collection, query)
        return OneOfEach(query, after, partial(self._find, query), count)

    def _find(self, query: Query, part: Document, order: Order, limit: int) -> Any:
        options = {"sort": order, "limit": limit, "hint": query.index, "max_time_ms": LIST_MS}
        where = {"$and": [part, query.remainder]} if query.remainder else part
        return [*map(_from_document, self.tickets.collection.find(where, READ, **options))]


def to_document(ticket: Ticket) -> Document:
    """Return the fields to store of a ticket that was changed just now, with its `id`."""
    found = searchable_fields(ticket.title, ticket.venue, ticket.city, ticket.starts_at, ticket.time_zone)
    return {**asdict(ticket), **_derived_fields(ticket), **found}


def _reserved(ticket: Ticket) -> Document:
    """Return the fields to store when only the reservation of a ticket has changed, with its `id`."""
    changed = {"id": ticket.id, "version": ticket.version, "reservation": ticket.reservation}
    return {**changed, "updated_at": ticket.updated_at, **_derived_fields(ticket)}


def _derived_fields(ticket: Ticket) -> Document:
    """Return the fields that every save of a ticket stores.

    `revision_of` is the version to which `revision` belongs: programs of 0.2, which may run concurrently, set neither.
    """
    shelf = "started" if ticket.has_started(ticket.updated_at) and ticket.status == "on_sale" else ticket.status
    return {"shelf": shelf, "revision": ticket.revision, "revision_of": ticket.version}


def _revision(version: int, revision: int | None, revision_of: int | None) -> int:
    """Return a ticket's revision; at most its version, which stands in where a program without revisions changed it."""
    return revision if revision is not None and revision_of == version else version


def _revisions(page: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [[ident, _revision(*stored)] for ident, *stored in page]


def _from_document(found: Document) -> Ticket:
    found["id"] = found.pop("_id")
    found["revision"] = _revision(found["version"], found.get("revision"), found.pop("revision_of", None))
    return Ticket(**found)
