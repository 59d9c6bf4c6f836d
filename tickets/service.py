"""The tickets service: list, edit and withdraw tickets, and know from orders which are reserved or sold."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pymongo.errors import DuplicateKeyError

from libs import cursors, parked_events
from libs.amqp.timer import timer
from libs.clock import utc_now
from libs.contracts.currencies import CURRENCY_FORM, currency_setting
from libs.contracts.errors import DomainError, KeyReused, TicketNotFound
from libs.contracts.events import (
    CATALOGUE,
    OrderAwaitingPayment,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    OrderUpdated,
    TicketCreated,
    TicketUpdated,
)
from libs.contracts.limits import (
    CATEGORIES,
    LISTED,
    MAXIMUM_KEY,
    MAXIMUM_PAGE,
    MAXIMUM_PRICE_CENTS,
    MAXIMUM_SEARCH,
    MAXIMUM_VERSION,
)
from libs.events import StoreProvider, VersionConflict, handles_batches, retry_on_conflict
from libs.events.anti_entropy import BATCH, PAGE, AntiEntropyProvider, Source, rpc_source
from libs.events.watermarks import Watermarks
from libs.providers import Setting
from libs.rpc import arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import CallerProvider, Forbidden, ServiceClient, Unauthenticated
from libs.rpc.entrypoint import rpc
from tickets import domain, lists, store
from tickets.domain import KEPT, EventNotFound, Ticket
from tickets.store import TicketStore

EXPECTED = (DomainError, InvalidArguments, cursors.InvalidCursor, VersionConflict, Unauthenticated, Forbidden)
STARTED_SECONDS = 5
MAXIMUM_PROCESS = 64
"""Characters of the name of a process."""


class TicketsService(parked_events.ParkedEvents):
    """Keeps the listings, and follows orders to decide whether they may still be edited."""

    name = "tickets"
    store = StoreProvider(TicketStore, CATALOGUE)
    watermarks = Watermarks()
    caller = CallerProvider()
    services = ServiceClient()
    currency = Setting("CURRENCY", currency_setting, CURRENCY_FORM)
    anti_entropy = AntiEntropyProvider("tickets.reservations", lambda service: service._orders())

    @rpc(expected_exceptions=EXPECTED)
    def create(
        self,
        title: str,
        price_cents: int,
        category: str = "other",
        venue: str | None = None,
        starts_at: Any = None,
        idempotency_key: str | None = None,
        seat: Any = None,
        city: str | None = None,
        time_zone: str | None = None,
    ) -> dict[str, Any]:
        """List a ticket for sale, and return it. `starts_at`: ISO 8601 with offset. `seat`: see Ticket.

        Repeated with the same `idempotency_key`, it returns the same ticket, whatever its status is by then.
        """
        seller_id = self.caller.user_id
        details = _details(title, price_cents, category, venue, starts_at, seat, city, time_zone)
        arguments.optional_text("idempotency_key", idempotency_key, MAXIMUM_KEY)
        if listed := self._find_listed(seller_id, idempotency_key, details):
            return listed.snapshot()
        ticket = Ticket.create(store.new_id(), seller_id, self.currency.code, utc_now(), **details)
        try:
            self.store.add(ticket, TicketCreated, idempotency_key)
        except DuplicateKeyError:  # a request with the same key was quicker
            if listed := self._find_listed(seller_id, idempotency_key, details):
                return listed.snapshot()
            raise
        return ticket.snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def update(
        self,
        ticket_id: str,
        title: str,
        price_cents: int,
        category: str = "other",
        venue: str | None = None,
        starts_at: Any = None,
        version: int | None = None,
        seat: Any = KEPT,
        city: Any = KEPT,
        time_zone: Any = KEPT,
    ) -> dict[str, Any]:
        """Replace what the seller entered for a ticket, and return it; refused while it is reserved or sold.

        Seat, city and time zone stay as they are unless they are given: earlier versions do not send them. The ticket
        gets the currency of new tickets, which the price is in. `version`: the version that the seller saw; refused if
        the ticket was edited or withdrawn since, unless it has these details already.
        """
        seller_id = self.caller.user_id
        details = _details(title, price_cents, category, venue, starts_at, seat, city, time_zone)
        arguments.optional_integer("version", version, 1, MAXIMUM_VERSION)
        now, code = utc_now(), self.currency.code
        try:
            return self._change(ticket_id, lambda ticket: ticket.edit(seller_id, now, code, version, **details))
        except TicketNotFound:
            given = {name: value for name, value in details.items() if value is not KEPT}
            domain.checked_details(self.currency, now, **given)  # invalid fields are reported first
            raise

    @rpc(expected_exceptions=EXPECTED)
    def withdraw(self, ticket_id: str, version: int | None = None) -> dict[str, Any]:
        """Take a ticket off sale for good; doing it again changes nothing. Returns the ticket. `version`: as above."""
        seller_id = self.caller.user_id
        arguments.optional_integer("version", version, 1, MAXIMUM_VERSION)
        return self._change(ticket_id, lambda ticket: ticket.withdraw(seller_id, utc_now(), version))

    @rpc(expected_exceptions=EXPECTED)
    def get(self, ticket_id: str) -> dict[str, Any]:
        """Return one ticket; anybody may ask."""
        return self.store.get(arguments.text("ticket_id", ticket_id)).snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def list(
        self,
        status: str = "on_sale",
        sort: str = "newest",
        limit: int = 50,
        after: str | None = None,
        by_event: bool = False,
        count: bool = False,
        **filters: Any,
    ) -> dict[str, Any]:
        """Return {"tickets", "next"}: one page of the tickets with `status`, and the cursor of the page after it.

        Filters: q, category, min_price_cents, max_price_cents, place, starts_from, starts_before. The last two are in
        the event's local time, or with their offset where its zone is unknown. Anybody may ask. A page may be short, or
        empty, before the last; what is on sale has not started yet. `by_event`: of each event only the first ticket of
        the list, with "event": {"tickets", "price_cents", "currency"}, how many the list has of it, and the cheapest on
        sale, or of all when none is. With `count`, "count" is the number of tickets: see TicketStore.count.

        Where nothing is found, words with a letter wrong, missing or too many are replaced by similar words of tickets:
        "corrections" maps them.
        """
        listed, order = arguments.choice("status", status, LISTED), arguments.choice("sort", sort, lists.SORTS)
        checked, is_counted = _validate(filters), arguments.optional_flag("count", count)
        grouped = arguments.optional_flag("by_event", by_event)
        rarest = self.store.rarest_word
        query = lists.public_list(listed, order, **checked, rarest_word=rarest)
        found, following = self._list_page(query, limit, after, grouped)
        corrections = self.store.corrections(query) if query.words and not (found or following) else {}
        if corrections:
            query = lists.public_list(listed, order, **checked, corrections=corrections, rarest_word=rarest)
            found, following = self._list_page(query, limit, after, grouped)
            corrections = corrections if found or following else {}
        now = utc_now()
        if listed in ("on_sale", "unsold"):  # a ticket that has started stays on its shelf until a timer moves it
            found = [each for each in found if each[0].status != "on_sale" or not each[0].has_started(now)]
        reply = {**_list_reply([_of_event(*each) for each in found], following), "corrections": corrections}
        return {**reply, "count": self.store.count(query)} if is_counted else reply

    @rpc(expected_exceptions=EXPECTED)
    def highlights(self, soonest: int, newest: int) -> dict[str, Any]:
        """Return {"soonest", "tickets"}: what starts soonest, and what is newest, as `list` does by event.

        Anybody may ask.
        """
        size = arguments.integer("soonest", soonest, 1, MAXIMUM_PAGE)
        found = [_of_event(*each) for each in self.store.list_soonest(utc_now(), size)]
        return {"soonest": found, "tickets": self.list(limit=newest, by_event=True)["tickets"]}

    @rpc(expected_exceptions=EXPECTED)
    def event(self, event_id: str, limit: int = 50, after: str | None = None) -> dict[str, Any]:
        """Return {"event", "counts", "tickets", "next"}: one page of what is on sale of an event, cheapest first.

        `event` is one of its tickets, whatever its status, `counts` how many there are by their status. Anybody may
        ask. Raises EventNotFound when there is none, though there may have been before its seller edited it.
        """
        counts = self.store.count_event(arguments.text("event_id", event_id))
        found, following = self._page(lists.event_list(event_id), limit, after)
        now = utc_now()
        shown = [ticket.snapshot() for ticket in found if not ticket.has_started(now)]
        example = found[0] if found else self.store.find_of_event(event_id)
        if example is None:
            raise EventNotFound("There is no such event.")
        return {"event": example.snapshot(), "counts": counts, **_list_reply(shown, following)}

    @rpc(expected_exceptions=EXPECTED)
    def sellers(self, ids: Any) -> Any:
        """Return [{"id", "sold"}]: how many tickets each of these users (at most 100) has sold. Anybody may ask.

        A user who has never listed a ticket is left out.
        """
        return self.store.count_sold(arguments.texts("ids", ids, BATCH))

    @rpc(expected_exceptions=EXPECTED)
    def site_map(self, after: str | None = None) -> Any:
        """Return [id, when it was changed] of the first tickets on sale listed after this one. Anybody may ask."""
        return self.store.site_map(arguments.optional_text("after", after))

    @rpc(expected_exceptions=EXPECTED)
    def site_map_pages(self) -> Any:
        """Return each `after` of `site_map` that together, with None, show all tickets on sale. Anybody may ask."""
        return self.store.site_map_pages()

    @rpc(expected_exceptions=EXPECTED)
    def site_map_events(self, after: str | None = None) -> Any:
        """Return the ids of the first events with tickets on sale after this one. Anybody may ask."""
        return self.store.site_map_events(arguments.optional_text("after", after))

    @rpc(expected_exceptions=EXPECTED)
    def site_map_event_pages(self) -> Any:
        """Return each `after` of `site_map_events` that together, with None, show all of them. Anybody may ask."""
        return self.store.site_map_event_pages()

    @rpc(expected_exceptions=EXPECTED)
    def list_mine(self, status: str = "all", limit: int = 50, after: str | None = None) -> dict[str, Any]:
        """Return one page of the caller's own listings with `status`, newest first, as `list` does.

        Tickets that nobody bought before they started are "started" and no longer "on_sale". Each also has
        `refunded_cents`, how much of its price went back to its buyer.
        """
        query = lists.seller_list(self.caller.user_id, arguments.choice("status", status, lists.STATUSES))
        if status in ("on_sale", "started"):
            self.take_started_off_sale()
        found, following = self._page(query, limit, after)
        return _list_reply([ticket.seller_view() for ticket in found], following)

    @rpc(expected_exceptions=EXPECTED)
    def sales(self) -> Any:
        """Return what the caller has sold, as [{"currency", "tickets", "owed_cents"}]; refunds are not owed."""
        return self.store.sales(self.caller.user_id)

    @rpc(expected_exceptions=EXPECTED)
    def find(self, seller_id: str, limit: int = 20) -> Any:
        """Return the newest tickets of a seller, whatever their status; for operators."""
        self.caller.require("operator")
        query = lists.seller_list(arguments.text("seller_id", seller_id), "all")
        return [ticket.snapshot() for ticket in self._page(query, limit, None)[0]]

    @rpc(expected_exceptions=EXPECTED)
    def withdraw_by_operator(self, ticket_id: str, reason: str) -> dict[str, Any]:
        """Take a ticket off sale for good; for operators, with their reason. Doing it again changes nothing.

        Returns the ticket. Raises TicketSold or TicketReserved.
        """
        self.caller.require("operator")
        arguments.reason("reason", reason)
        return self._change(ticket_id, lambda ticket: ticket.withdraw_by_operator(utc_now()))

    @rpc(expected_exceptions=EXPECTED)
    def snapshots(self, ids: Any) -> Any:
        """Return the tickets with these ids (a list of at most 100) that exist; for orders."""
        self.caller.require("orders", "operator")
        return [ticket.snapshot() for ticket in self.store.get_all(arguments.texts("ids", ids, BATCH))]

    @rpc(expected_exceptions=EXPECTED)
    def versions(self, after: str | None = None) -> Any:
        """Return a page of [ticket's id, revision], for services that compare copies: none may be older than that."""
        self.caller.require("orders", "operator")
        return self.store.revisions(arguments.optional_text("after", after), PAGE)

    @rpc(expected_exceptions=EXPECTED)
    def changes(self, after: Any = None) -> dict[str, Any]:
        """Return what changed, as in Aggregates.changes, in pages as `versions` has them."""
        self.caller.require("orders", "operator")
        return self.store.changed_revisions(arguments.position("after", after), PAGE)

    @rpc(expected_exceptions=EXPECTED)
    def repair(self, after: str | None = None) -> dict[str, Any]:
        """Compare all reservations with orders; for operators. Returns {"repaired", "next"}: see AntiEntropy.repair."""
        self.caller.require("operator")
        return self.anti_entropy.repair(arguments.optional_text("after", after))

    @rpc(expected_exceptions=EXPECTED)
    def watermark(self, process: str, number: int) -> None:
        """Request a watermark that answers the question `number` of a process of the gateway."""
        self.caller.require("gateway")
        ident, asked = (
            arguments.text("process", process, MAXIMUM_PROCESS),
            arguments.integer("number", number, 0, 2**53),
        )
        self.watermarks.ask(ident, asked)

    @handles_batches(OrderCreated, OrderAwaitingPayment, OrderUpdated, OrderCancelled, OrderCompleted)
    def on_orders(self, orders: Sequence[dict[str, Any]]) -> None:
        """Reserve each order's ticket, keep it reserved while it is being paid for, and release it or mark it as sold.

        Raises TicketNotFound or VersionConflict once the others are saved: then each event is retried alone.
        """
        if len(orders) == 1:
            self.on_order(orders[0])
            return
        tickets = {ticket.id: ticket for ticket in self.store.get_all([order["ticket"]["id"] for order in orders])}
        newest, now = {}, utc_now()
        for order in sorted(orders, key=lambda order: (order["reservation_no"], order["version"])):
            newest[order["ticket"]["id"]] = order
        found = [(tickets[ident], order) for ident, order in newest.items() if ident in tickets]
        changed = [ticket for ticket, order in found if ticket.apply_order(order, now)]
        if self.store.save_reservations(changed) < len(changed):
            raise VersionConflict("a ticket has changed since it was read")
        if len(found) < len(newest):
            raise TicketNotFound("There is no such ticket.")

    def on_order(self, order: dict[str, Any]) -> None:
        """Do the same for one order."""
        ticket = self.store.get(order["ticket"]["id"])
        if ticket.apply_order(order, utc_now()):
            self.store.save_reservation(ticket)

    @timer(interval=STARTED_SECONDS)
    def take_started_off_sale(self) -> None:
        """Remove tickets that have started from the lists; until then they only make pages shorter."""
        self.store.take_started_off_sale(utc_now())

    def _find_listed(self, seller_id: str, idempotency_key: str | None, details: dict[str, Any]) -> Ticket | None:
        """Return the ticket that was listed with this key, or None; raise KeyReused if its details were different."""
        found = self.store.find_by_key(seller_id, idempotency_key) if idempotency_key is not None else None
        if found is None:
            return None
        ticket, listed_as = found
        if domain.checked_details(self.currency, utc_now(), listed_as["starts_at"], **details) != listed_as:
            raise KeyReused("This Idempotency-Key was used for another ticket.")
        return ticket

    def _change(self, ticket_id: str, change: Callable[[Ticket], bool]) -> dict[str, Any]:
        """Load, change, save, and return the ticket; read again when somebody else saved first."""
        arguments.text("ticket_id", ticket_id)

        def attempt() -> Ticket:
            ticket: Ticket = self.store.get(ticket_id)
            if change(ticket):
                self.store.save(ticket, TicketUpdated)
            return ticket

        return retry_on_conflict(attempt).snapshot()

    def _handled_version(self, order_id: str, ticket_id: str) -> int | None:
        for ticket in self.store.get_all([ticket_id]):
            if ticket.reservation and ticket.reservation["order_id"] == order_id:
                return int(ticket.reservation["version"])
        return None

    def _orders(self) -> Source:
        database = self.store.tickets.collection.database
        return rpc_source(self.services.call, OrderCreated, database, self.store.stale, self.on_order)

    def _list_page(self, query: lists.Query, limit: int, after: str | None, by_event: bool | None) -> Any:
        """Return a page as [(ticket, what the list has of its event, if it shows one of each)], and its end."""
        if by_event:
            return self._page(query, limit, after, self.store.list_events)
        found, following = self._page(query, limit, after)
        return [(ticket, None) for ticket in found], following

    def _page(self, query: lists.Query, limit: int, after: str | None, read: Callable[..., Any] | None = None) -> Any:
        size = arguments.integer("limit", limit, 1, MAXIMUM_PAGE)
        return (read or self.store.list)(query, size, cursors.decode(after, query.position))


def _details(*values: object) -> dict[str, Any]:
    return dict(zip(store.DETAILS, values, strict=True))


def _of_event(ticket: Ticket, event: dict[str, Any] | None) -> dict[str, Any]:
    return ticket.snapshot() if event is None else {**ticket.snapshot(), "event": event}


def _list_reply(tickets: Sequence[dict[str, Any]], following: dict[str, Any] | None) -> dict[str, Any]:
    return {"tickets": tickets, "next": following and cursors.encode(following)}


def _validate(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the filters that were given; raise InvalidArguments."""
    checks: dict[str, Callable[[str, Any], Any]] = {
        "q": partial(arguments.text, maximum=MAXIMUM_SEARCH),
        "category": partial(arguments.choice, values=CATEGORIES),
        "min_price_cents": partial(arguments.integer, minimum=0, maximum=MAXIMUM_PRICE_CENTS),
        "max_price_cents": partial(arguments.integer, minimum=0, maximum=MAXIMUM_PRICE_CENTS),
        "place": partial(arguments.text, maximum=MAXIMUM_SEARCH),
        "starts_from": arguments.local_moment,
        "starts_before": arguments.local_moment,
    }
    for name in filters:
        arguments.choice("each filter", name, checks)
    given = {name: checks[name](name, value) for name, value in filters.items() if value is not None}
    if given.get("min_price_cents", 0) > given.get("max_price_cents", MAXIMUM_PRICE_CENTS):
        raise InvalidArguments("max_price_cents must not be below min_price_cents.")
    return given
