"""The orders service: reserve, cancel, and follow payment and deadline to the order's end."""

import logging
import secrets
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo.errors import DuplicateKeyError

from libs import cursors, parked_events
from libs.amqp.timer import timer
from libs.clock import utc_now
from libs.contracts.errors import DomainError, KeyReused, TicketNotFound, TicketReserved
from libs.contracts.events import (
    CATALOGUE,
    ExpirationComplete,
    PaymentAuthorized,
    PaymentCreated,
    PaymentFailed,
    PaymentRefunded,
    TicketCreated,
    TicketUpdated,
)
from libs.contracts.limits import MAXIMUM_KEY, MAXIMUM_PAGE, MAXIMUM_REFUSALS, MAXIMUM_VERSION
from libs.events import StoreProvider, VersionConflict, handles, handles_batches, retry_on_conflict
from libs.events.anti_entropy import BATCH, PAGE, AntiEntropyProvider, Source, rpc_source, stale_in
from libs.providers import Setting
from libs.rpc import RemoteError, ServiceUnavailable, arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import CallerProvider, Forbidden, ServiceClient, Unauthenticated
from libs.rpc.entrypoint import error_name, rpc
from libs.settings import between
from orders import domain
from orders.domain import Order
from orders.metrics import expiry_delay_seconds
from orders.store import OrderStore, new_id

log = logging.getLogger(__name__)

EXPECTED = (DomainError, InvalidArguments, cursors.InvalidCursor, VersionConflict, Unauthenticated, Forbidden)
RESERVATION_TRIES = 10
SWEEP_SECONDS, SWEEP_LIMIT, LONGEST_SWEEP_SECONDS = 5, 5000, 10.0
OUTCOMES_SECONDS = 4.0
"""How long payments may take to report the outcomes of a batch of overdue orders."""
ASK_PAYMENTS_SECONDS, ASK_PAYMENTS_AFTER, GIVE_UP_AFTER = 30, timedelta(seconds=60), timedelta(hours=24)
ASK_PAYMENTS_LIMIT = 200
LATE_AFTER = timedelta(seconds=15)
"""An order that is still created this long after its deadline shows that something is wrong."""
PAYMENTS = "payments:"
"""The prefix of `repair`'s `next` once all tickets have been compared."""


class OrdersService(parked_events.ParkedEvents):
    """Gives each ticket to one buyer and follows the order to its end."""

    name = "orders"
    store = StoreProvider(OrderStore, CATALOGUE)
    caller = CallerProvider()
    services = ServiceClient()
    window_seconds = Setting("RESERVATION_WINDOW_SECONDS", *between(1, 86_400))
    unpaid_per_buyer = Setting("UNPAID_RESERVATIONS_PER_BUYER", *between(1, 1_000_000))
    unpaid_per_hour = Setting("UNPAID_RESERVATIONS_PER_HOUR", *between(1, 1_000_000))
    anti_entropy = AntiEntropyProvider("orders.tickets", lambda service: service._tickets())
    payments_anti_entropy = AntiEntropyProvider("orders.payments", lambda service: service._payments())

    @rpc(expected_exceptions=EXPECTED)
    def create(self, ticket_id: str, version: int | None = None, idempotency_key: str | None = None) -> dict[str, Any]:
        """Reserve a ticket for the caller, and return the order. `version`: the ticket's version that the buyer saw.

        Repeated with the same `idempotency_key`, it returns the same order, whatever its status is by then.
        """
        buyer_id, ticket_id = self.caller.user_id, arguments.text("ticket_id", ticket_id)
        arguments.optional_integer("version", version, 1, MAXIMUM_VERSION)
        arguments.optional_text("idempotency_key", idempotency_key, MAXIMUM_KEY)
        try:
            return self._reserve(ticket_id, version, buyer_id, idempotency_key).snapshot()
        except (DomainError, ServiceUnavailable):
            if placed := self._find_placed(buyer_id, ticket_id, idempotency_key):
                return placed.snapshot()
            raise

    @rpc(expected_exceptions=EXPECTED)
    def refusals(self, asked: Any) -> Any:
        """Return the error with which `create` would refuse each [ticket's id, buyer's id, idempotency key or None].

        An error is [name, message, details], or None if `create` might succeed: nobody holds the ticket, or an order
        was made with the key. At most MAXIMUM_REFUSALS; for the gateway, which asks about many buyers at once in a
        rush.
        """
        self.caller.require("gateway")
        wanted = [_parse_request(each) for each in arguments.items("asked", asked, MAXIMUM_REFUSALS)]
        live = self.store.find_live({ticket_id for ticket_id, _, _ in wanted})
        made = self.store.find_keys({(buyer_id, key) for _, buyer_id, key in wanted if key})
        return [
            _describe(domain.refusal(live[ticket_id], buyer_id))
            if ticket_id in live and (buyer_id, key) not in made
            else None
            for ticket_id, buyer_id, key in wanted
        ]

    @rpc(expected_exceptions=EXPECTED)
    def get(self, order_id: str) -> dict[str, Any]:
        """Return one of the caller's orders."""
        buyer_id, order = self.caller.user_id, self.store.get(arguments.text("order_id", order_id))
        order.check_owner(buyer_id)
        return order.snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def held(self, ticket_id: str) -> dict[str, Any] | None:
        """Return the caller's order, unpaid or paid, that holds a ticket, or None."""
        held = self.store.find_held(arguments.text("ticket_id", ticket_id), self.caller.user_id)
        return held.snapshot() if held else None

    @rpc(expected_exceptions=EXPECTED)
    def list(self, limit: int = 50, after: str | None = None, cancelled: bool | None = None) -> dict[str, Any]:
        """Return {"orders", "next"}: one page of the caller's orders, newest first, and the next page's cursor.

        `cancelled`: True for the cancelled ones, False for the others, None for all.
        """
        size = arguments.integer("limit", limit, 1, MAXIMUM_PAGE)
        beyond, wanted = cursors.decode(after, {"_id": str}), arguments.optional_flag("cancelled", cancelled)
        found = self.store.list_by_buyer(self.caller.user_id, size + 1, beyond, wanted)
        page = found[:size]
        following = cursors.encode({"_id": page[-1].id}) if len(found) > size else None
        return {"orders": [order.snapshot() for order in page], "next": following}

    @rpc(expected_exceptions=EXPECTED)
    def cancel(self, order_id: str) -> dict[str, Any]:
        """Cancel one of the caller's orders; doing it again changes nothing. Returns the order."""
        buyer_id, order_id = self.caller.user_id, arguments.text("order_id", order_id)
        return self._change(order_id, lambda order: order.cancel(buyer_id, utc_now())).snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def extend(self, order_id: str) -> dict[str, Any]:
        """Give the caller five more minutes to pay one of their orders: once, and in the last two minutes.

        Doing it again changes nothing. Returns the order. Raises NoDeadline, DeadlinePassed, TooEarlyToExtend, or
        StartsTooSoon.
        """
        buyer_id, order_id = self.caller.user_id, arguments.text("order_id", order_id)
        return self._change(order_id, lambda order: order.extend(buyer_id, utc_now())).snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def snapshot(self, order_id: str) -> dict[str, Any]:
        """Return any order; for the other services."""
        self.caller.require("payments", "expiration", "tickets", "operator")
        return self.store.get(arguments.text("order_id", order_id)).snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def snapshots(self, ids: Any) -> Any:
        """Return the orders with these ids (a list of at most 100) that exist; for the other services."""
        self.caller.require("payments", "expiration", "tickets", "operator")
        return [order.snapshot() for order in self.store.get_all(arguments.texts("ids", ids, BATCH))]

    @rpc(expected_exceptions=EXPECTED)
    def versions(self, after: str | None = None) -> Any:
        """Return a page of [order's id, version, ticket's id, reservation_no], for services that compare copies."""
        self.caller.require("tickets", "payments", "expiration", "operator")
        beyond = arguments.optional_text("after", after)
        return self.store.orders.versions(beyond, PAGE, "ticket_id", "reservation_no")

    @rpc(expected_exceptions=EXPECTED)
    def changes(self, after: Any = None) -> dict[str, Any]:
        """Return what changed, as Aggregates.changes does, with the rows of `versions`; for services that compare."""
        self.caller.require("tickets", "payments", "expiration", "operator")
        beyond = arguments.position("after", after)
        return self.store.orders.changes(beyond, PAGE, "ticket_id", "reservation_no")

    @rpc(expected_exceptions=EXPECTED)
    def repair(self, after: str | None = None) -> dict[str, Any]:
        """Compare all copies of tickets, and all payments with the versions applied, now; for operators.

        Returns {"repaired", "next"}: see AntiEntropy.repair.
        """
        self.caller.require("operator")
        after = arguments.optional_text("after", after)
        if after is None or not after.startswith(PAYMENTS):
            done = self.anti_entropy.repair(after)
            return {**done, "next": PAYMENTS if done["next"] is None else done["next"]}
        done = self.payments_anti_entropy.repair(after.removeprefix(PAYMENTS) or None)
        return {**done, "next": PAYMENTS + done["next"] if done["next"] else None}

    @rpc(expected_exceptions=EXPECTED)
    def move_deadline(self, order_id: str, expires_at: str) -> dict[str, Any]:
        """Give an unpaid order another deadline (ISO 8601 with offset); for operators. Returns the order.

        Raises NoDeadline, DeadlinePassed for one in the past, or StartsTooSoon.
        """
        self.caller.require("operator")
        deadline = arguments.moment("expires_at", expires_at)
        order_id = arguments.text("order_id", order_id)
        return self._change(order_id, lambda order: order.move_deadline(deadline, utc_now())).snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def expire_now(self, order_id: str) -> dict[str, Any]:
        """Move the deadline of an unpaid order to now; for operators. Returns the order, which expires within seconds.

        Raises NoDeadline.
        """
        self.caller.require("operator")
        order_id = arguments.text("order_id", order_id)
        return self._change(order_id, lambda order: order.expire_now(utc_now())).snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def cancel_by_operator(self, order_id: str, reason: str) -> dict[str, Any]:
        """Cancel an unpaid order; for operators, with their reason. Returns the order.

        Doing it again changes nothing. Raises OrderComplete or OrderBeingPaid.
        """
        self.caller.require("operator")
        arguments.reason("reason", reason)
        order_id = arguments.text("order_id", order_id)
        return self._change(order_id, lambda order: order.cancel_by_operator(utc_now())).snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def story(self, order_id: str) -> dict[str, Any]:
        """Return an order with its `log` (see Order); for operators.

        Changes made by earlier versions are not in it.
        """
        self.caller.require("operator")
        order = self.store.get(arguments.text("order_id", order_id))
        return {**order.snapshot(), "payment_version": order.payment_version, "log": order.log}

    @rpc(expected_exceptions=EXPECTED)
    def find(self, buyer_id: str | None = None, ticket_id: str | None = None, limit: int = 20) -> Any:
        """Return the newest orders of a buyer, or on a ticket; for operators."""
        self.caller.require("operator")
        given = {"buyer_id": buyer_id, "ticket_id": ticket_id}
        where = {name: arguments.text(name, value) for name, value in given.items() if value is not None}
        if not where:
            raise InvalidArguments("buyer_id or ticket_id must say whose orders.")
        size = arguments.integer("limit", limit, 1, MAXIMUM_PAGE)
        return [order.snapshot() for order in self.store.list_about(where, size)]

    @rpc(expected_exceptions=EXPECTED)
    def stuck(self) -> dict[str, Any]:
        """Return {"overdue", "awaiting"}, at most 100 each, as [{"order_id", "since"}]; for operators.

        These are orders that are still created long after their deadline, or have awaited payment for too long.
        """
        self.caller.require("operator")
        now = utc_now()
        overdue = self.store.list_overdue(now - LATE_AFTER, BATCH)
        awaiting = self.store.list_awaiting(now - ASK_PAYMENTS_AFTER, BATCH)
        return {
            "overdue": [{"order_id": order.id, "since": order.expires_at} for order in overdue],
            "awaiting": [{"order_id": order.id, "since": order.updated_at} for order in awaiting],
        }

    @handles_batches(TicketCreated, TicketUpdated)
    def on_tickets(self, tickets: Sequence[dict[str, Any]]) -> None:
        """Keep the newest copies."""
        self.store.tickets.apply_all(tickets)

    @handles(PaymentAuthorized, PaymentCreated, PaymentFailed, PaymentRefunded)
    def on_payment(self, payment: dict[str, Any]) -> None:
        """Stop expiry once the card is authorized, complete the order once the money is captured.

        A failure releases the ticket if it is final; a refund is recorded and cancels nothing by itself.
        """

        def apply(order: Order) -> str | None:
            known, event = order.payment_version, order.apply_payment(payment, utc_now())
            if event is None and order.payment_version > known:
                self.store.save_payment_version(order)
            return event

        self._change(payment["order_id"], apply)

    @handles(ExpirationComplete)
    def on_expiration_complete(self, deadline: dict[str, Any]) -> None:
        """Release the ticket if its time is up by our own clock; the event is only a hint."""
        order = self.store.get(deadline["order_id"])
        if order.is_overdue(utc_now()):
            self._expire([order])

    @timer(interval=SWEEP_SECONDS)
    def sweep_overdue(self) -> None:
        """Expire overdue orders, whether or not an event came; an order that changed meanwhile is left alone.

        Those that payments was not asked about yet come first, so that orders with unknown outcomes hold up no others.
        """
        until, is_answering = time.monotonic() + LONGEST_SWEEP_SECONDS, True
        overdue = self.store.list_overdue(utc_now(), SWEEP_LIMIT)
        for start in range(0, len(overdue), BATCH):
            if time.monotonic() > until:
                break
            is_answering = self._expire(overdue[start : start + BATCH], asks=is_answering)

    @timer(interval=ASK_PAYMENTS_SECONDS)
    def ask_payments(self) -> None:
        """Ask payments about orders that have awaited payment for too long, and give up after a day."""
        now, is_unreachable = utc_now(), False
        for order in self.store.list_awaiting(now - ASK_PAYMENTS_AFTER, ASK_PAYMENTS_LIMIT):
            try:
                if not is_unreachable:
                    answer = self.services.call("payments", "settle", {"order_id": order.id}, timeout=20)
                    self.on_payment(PaymentCreated.load(answer))
                    continue
            except (RemoteError, VersionConflict) as error:
                log.warning("order %s could not be settled: %s", order.id, error)
                self.store.mark_asked([order.id], now)
            except ServiceUnavailable:
                is_unreachable = True  # the others are asked next time: each would wait for its own timeout
            if order.updated_at < now - GIVE_UP_AFTER:
                self._change(order.id, lambda order: order.give_up(utc_now()))

    def _expire(self, overdue: Sequence[Order], asks: bool = True) -> bool:
        """Cancel those of at most BATCH overdue orders that payments reports as unpaid; apply the others' payments.

        Orders with unknown outcomes are left to the next sweep, unless that has been so for too long. Returns whether
        payments answered; it is not asked unless `asks`.
        """
        answer = self._outcomes([order.id for order in overdue]) if asks else None
        unpaid, settled = set(answer["unpaid"]) if answer else set(), set()
        for payment in answer["settled"] if answer else ():
            settled.add(payment["order_id"])
            try:
                self.on_payment(PaymentCreated.load(payment))
            except VersionConflict as error:
                log.warning("the payment of an overdue order waits: %s", error)
        now = utc_now()
        left = [order for order in overdue if order.id not in settled]
        expired = [order for order in left if order.expire(now, is_unpaid=order.id in unpaid)]
        self.store.save_cancelled(expired)
        for order in expired:
            expiry_delay_seconds.observe((now - order.expires_at).total_seconds())
        if answer:
            self.store.mark_asked([order.id for order in left if order.is_live], now)
        return answer is not None

    def _outcomes(self, order_ids: Sequence[str]) -> Any:
        """Return the outcomes of these orders' payments (see PaymentsService.settle_all); None without an answer."""
        try:
            return self.services.call("payments", "settle_all", {"order_ids": order_ids}, timeout=OUTCOMES_SECONDS)
        except (RemoteError, ServiceUnavailable) as error:
            log.warning("payments does not answer whether %d overdue orders were paid: %s", len(order_ids), error)
            return None

    def _up_to_date(self, ticket_id: str, copy: dict[str, Any] | None, version: int | None) -> dict[str, Any]:
        """Return our copy; ask tickets if there is none, or if the buyer saw a newer version (and perhaps price)."""
        if copy is None or domain.is_outdated(copy, version):
            copy = TicketCreated.load(self._fetch_ticket(ticket_id))
            self.store.tickets.apply(copy)
        return copy

    def _tickets(self) -> Source:
        copies = self.store.tickets.collection
        return rpc_source(
            self.services.call, TicketCreated, copies.database, stale_in(copies), self.store.tickets.apply
        )

    def _payments(self) -> Source:
        orders = self.store.orders.collection
        stale = stale_in(orders, "payment_version")
        return rpc_source(self.services.call, PaymentCreated, orders.database, stale, self.on_payment)

    def _fetch_ticket(self, ticket_id: str) -> Any:
        try:
            return self.services.call("tickets", "get", {"ticket_id": ticket_id})
        except RemoteError as error:
            if error.name != "TicketNotFound":
                raise
            raise TicketNotFound("There is no such ticket.") from error

    def _reserve(self, ticket_id: str, version: int | None, buyer_id: str, idempotency_key: str | None) -> Order:
        """Insert the ticket's next order; unique indexes settle every race, not the reads before them.

        So no buyer ever has more unpaid orders than there are slots. The hourly limit is read before the insert:
        concurrent requests exceed it by no more than the number of free slots.
        """
        for _ in range(RESERVATION_TRIES):
            newest = self._not_live(ticket_id, buyer_id)  # in a rush for one ticket, most requests end here
            now = utc_now()
            ticket, slots = self._terms(ticket_id, version, buyer_id, now)
            number = newest["reservation_no"] + 1 if newest else 1
            expires_at = now + timedelta(seconds=self.window_seconds)
            order = Order.place(new_id(), ticket, buyer_id, number, expires_at, now)
            try:
                self.store.add(order, idempotency_key, secrets.choice(slots))
                return order
            except DuplicateKeyError:
                if placed := self._find_placed(buyer_id, ticket_id, idempotency_key):
                    return placed
        raise TicketReserved("Somebody else was quicker; try again.")

    def _not_live(self, ticket_id: str, buyer_id: str) -> Any:
        """Return the ticket's newest order, or None; raise why this buyer cannot reserve it if that is live."""
        newest = self.store.find_newest(ticket_id)
        if newest and newest["status"] in domain.LIVE:
            raise domain.refusal(newest, buyer_id)
        return newest

    def _terms(self, ticket_id: str, version: int | None, buyer_id: str, now: datetime) -> tuple[Any, Sequence[int]]:
        """Return the ticket and the buyer's free slots; raise the reason, if any, why this buyer may not reserve it."""
        unpaid, per_hour = self.unpaid_per_buyer, self.unpaid_per_hour
        copy, holds = self.store.read_terms(ticket_id, buyer_id, now - domain.HOUR, unpaid + per_hour)
        ticket = self._up_to_date(ticket_id, copy, version)
        domain.check_ticket(ticket, buyer_id, version, now)
        try:
            return ticket, domain.free_slots(holds, unpaid, per_hour, now)
        except domain.TooManyReservations:
            self._not_live(ticket_id, buyer_id)  # the first click of a double click took the last slot, and the ticket
            raise

    def _find_placed(self, buyer_id: str, ticket_id: str, idempotency_key: str | None) -> Order | None:
        """Return the order that was made with this key, or None; raise KeyReused if it is for another ticket."""
        placed: Order | None = self.store.find_by_key(buyer_id, idempotency_key) if idempotency_key else None
        if placed and placed.ticket["id"] != ticket_id:
            raise KeyReused("This Idempotency-Key was used for another ticket.")
        return placed

    def _change(self, order_id: str, change: Any) -> Order:
        """Load, change, save, and return the order; read again when somebody else saved first."""

        def attempt() -> Order:
            order: Order = self.store.get(order_id)
            if event := change(order):
                self.store.save(order, event)
            return order

        return retry_on_conflict(attempt)


def _parse_request(asked: Any) -> tuple[str, str, str | None]:
    ticket_id, buyer_id, key = arguments.items("each of those asked about", asked, 3, 3)
    return (
        arguments.text("ticket_id", ticket_id),
        arguments.text("buyer_id", buyer_id),
        arguments.optional_text("idempotency_key", key, MAXIMUM_KEY),
    )


def _describe(error: DomainError) -> tuple[str, str, dict[str, Any]]:
    return error_name(error), str(error), error.details
