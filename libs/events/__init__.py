"""Events that are not lost: the catalogue, the outbox and its relay, versioned copies, handlers that retry and park.

A complete small service, which keeps a copy of every ticket and announces each badge it makes for one::

    class BadgeStore:
        def __init__(self, db):
            self.badges = Aggregates(db.badges)         # our own documents, each with its outbox
            self.tickets = Copies(db.tickets)           # a neighbour's, as we know them

    class BadgesService:
        name = "badges"
        store = Stored(BadgeStore)                      # opens the database, relays the outboxes

        @handles(TicketCreated)                         # acknowledged only once this has returned
        def on_ticket_created(self, ticket):
            self.store.tickets.apply(ticket)            # newer wins; a repeat changes nothing
            if self.store.badges.find(ticket["id"]) is None:    # not "if it was new": the one before may have died here
                badge = {"id": ticket["id"], "version": 1, "label": ticket["title"]}
                self.store.badges.add(badge, BadgeMade, badge)      # the document and its event in one write

What is promised: an event whose change was saved reaches every listener that the catalogue names at least once, also
over crashes of anything. What is not: that it comes once, or in order. So each event is a whole snapshot with its
version, and a listener keeps the newest.
"""

from libs.events.aggregates import Aggregates, VersionConflict
from libs.events.catalogue import EVENTS, Event
from libs.events.copies import Copies
from libs.events.handlers import handles
from libs.events.provider import Stored
from libs.events.relay import Relay

__all__ = ["EVENTS", "Aggregates", "Copies", "Event", "Relay", "Stored", "VersionConflict", "handles"]
