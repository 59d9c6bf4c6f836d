"""The tickets service: list, edit, withdraw; and follow what orders says of each ticket."""

from typing import Any

from nameko.dependency_providers import Config

from libs import cursors
from libs.clock import utc_now
from libs.events import Stored, handles
from libs.events.catalogue import (
    OrderAwaitingPayment,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    OrderUpdated,
    TicketCreated,
    TicketUpdated,
)
from libs.rpc.caller import CallerProvider, Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc
from tickets import domain, store
from tickets.store import TicketStore

EXPECTED = (domain.Refused, cursors.InvalidCursor, Unauthenticated, Forbidden)
MAXIMUM_PAGE = 100


class TicketsService:
    """Keeps the listings; knows from orders whether one may still be edited."""

    name = "tickets"
    store = Stored(TicketStore)
    caller = CallerProvider()
    config = Config()

    @rpc(expected_exceptions=EXPECTED)
    def create(self, **details: Any) -> dict[str, Any]:
        """List a ticket for sale: title, price_cents, category, venue, starts_at. Returns the ticket."""
        seller_id, currency = self.caller.user_id, self.config["CURRENCY"]
        ticket = domain.listed(store.new_id(), seller_id, currency, utc_now(), **details)
        self.store.add(ticket, TicketCreated)
        return ticket.public()

    @rpc(expected_exceptions=EXPECTED)
    def update(self, ticket_id: str, **details: Any) -> dict[str, Any]:
        """Replace what the seller says of a ticket; refused while it is reserved or sold. Returns the ticket."""
        seller_id, ticket = self.caller.user_id, self.store.get(ticket_id)
        ticket.edit(seller_id, utc_now(), **details)
        self.store.save(ticket, TicketUpdated)
        return _public(ticket)

    @rpc(expected_exceptions=EXPECTED)
    def withdraw(self, ticket_id: str) -> dict[str, Any]:
        """Take a ticket off sale for good; doing it again changes nothing. Returns the ticket."""
        seller_id, ticket = self.caller.user_id, self.store.get(ticket_id)
        if ticket.withdraw(seller_id, utc_now()):
            self.store.save(ticket, TicketUpdated)
        return _public(ticket)

    @rpc(expected_exceptions=EXPECTED)
    def get(self, ticket_id: str) -> dict[str, Any]:
        """Return one ticket; anybody may ask."""
        return _public(self.store.get(ticket_id))

    @rpc(expected_exceptions=EXPECTED)
    def list(
        self, status: str = "on_sale", sort: str = "newest", limit: int = 50, after: str | None = None, **filters: Any
    ) -> dict[str, Any]:
        """Return {"tickets", "next"}: one page of the tickets with `status`, and the cursor of the page after it.

        Filters: q, category, min_price_cents, max_price_cents. Anybody may ask.
        """
        return self._page(store.on_offer(status, utc_now(), **filters), sort, limit, after)

    @rpc(expected_exceptions=EXPECTED)
    def list_mine(self, limit: int = 50, after: str | None = None) -> dict[str, Any]:
        """Return one page of the caller's own listings, newest first, as `list` does."""
        return self._page({"seller_id": self.caller.user_id}, "newest", limit, after)

    @handles(OrderCreated)
    def on_order_created(self, order: dict[str, Any]) -> None:
        """The ticket is reserved."""
        self._follow(order)

    @handles(OrderAwaitingPayment)
    def on_order_awaiting_payment(self, order: dict[str, Any]) -> None:
        """The ticket stays reserved while it is being paid."""
        self._follow(order)

    @handles(OrderUpdated)
    def on_order_updated(self, order: dict[str, Any]) -> None:
        """Something else about the order has changed, its deadline perhaps."""
        self._follow(order)

    @handles(OrderCancelled)
    def on_order_cancelled(self, order: dict[str, Any]) -> None:
        """The ticket is released."""
        self._follow(order)

    @handles(OrderCompleted)
    def on_order_completed(self, order: dict[str, Any]) -> None:
        """The ticket is sold."""
        self._follow(order)

    def _follow(self, order: dict[str, Any]) -> None:
        ticket = self.store.get(order["ticket"]["id"])
        if ticket.follow(order, utc_now()):
            self.store.save(ticket, TicketUpdated)

    def _page(self, where: dict[str, Any], sort: str, limit: int, after: str | None) -> dict[str, Any]:
        types = {name: str if name == "_id" else int for name, _ in store.SORTS[sort]}
        size = max(1, min(int(limit), MAXIMUM_PAGE))
        found = self.store.list(where, sort, size + 1, cursors.decode(after, types))
        page = found[:size]
        following = cursors.encode(store.position(page[-1], sort)) if len(found) > size else None
        return {"tickets": [_public(ticket) for ticket in page], "next": following}


def _public(ticket: domain.Ticket) -> dict[str, Any]:
    return ticket.public()
