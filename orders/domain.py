"""The rules of an order: who gets a ticket, for how long, and how it ends. Pure: the caller passes time and ids.

    created --authorized--> awaiting_payment --captured--> complete
       |  buyer cancels, deadline, third declined card   |  capture failed for good
       +-------------------------------------------------+--> cancelled

complete and cancelled are terminal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from libs.contracts.errors import DomainError, NotOwner, TicketReserved, TicketSold, TicketWithdrawn
from libs.contracts.limits import EXTENDED_WITHIN_SECONDS, EXTENSION_SECONDS

LIVE = ("created", "awaiting_payment", "complete")
EXPIRE_ANYWAY_AFTER = timedelta(minutes=10)
"""How long after its deadline an order may stay created while payments cannot say whether it was paid."""
FROZEN = ("id", "title", "price_cents", "currency", "category", "venue", "starts_at")
"""The fields of its ticket that an order keeps as they were when it was placed."""
NOT_KNOWN = dict.fromkeys(("seat", "city", "time_zone"))
"""Further such fields, with defaults for copies that an earlier version made."""
HOUR = timedelta(hours=1)
EXTENSION, EXTENDED_WITHIN = timedelta(seconds=EXTENSION_SECONDS), timedelta(seconds=EXTENDED_WITHIN_SECONDS)
LONGEST_LOG = 50
"""How many of its newest changes an order keeps in its log."""


class TicketStarted(DomainError):
    """The event that the ticket is for has started."""


class OwnTicket(DomainError):
    """Sellers cannot buy their own tickets."""


class AlreadyHeld(DomainError):
    """The buyer's own order holds the ticket; details: order_id."""


class PriceChanged(DomainError):
    """The price is no longer the one the buyer saw; details: price_cents, currency and version."""


class TooManyReservations(DomainError):
    """The buyer holds too many tickets, or held too many within the hour; `details["retry_after"]`: seconds to wait."""

    security_event = "throttled"


class OrderComplete(DomainError):
    """The order has been paid for."""


class OrderBeingPaid(DomainError):
    """The order's payment has begun."""


class NoDeadline(DomainError):
    """The order is being paid for or has ended, so it has no deadline any more."""


class DeadlinePassed(DomainError):
    """The deadline, or the new one, is in the past."""


class TooEarlyToExtend(DomainError):
    """There is still enough time to pay."""


class StartsTooSoon(DomainError):
    """The deadline is the ticket's start already, and cannot be later."""


WITHOUT_DEADLINE = {
    "awaiting_payment": "This order is being paid for",
    "complete": "This order is complete",
    "cancelled": "This order is cancelled",
}


@dataclass
class Order:
    """One buyer's claim on one ticket. `ticket` is the ticket as it was when the order was placed, with its price.

    `refunded_at` is set once all the money is refunded, `refunded_cents` is the amount so far.
    `payment_version` is the version of the newest snapshot of its payment that was applied, 0 if there was none.
    `was_extended`: whether the buyer has extended the deadline.
    `log` has the order's changes as {"at", "version", "event", "status"}, oldest first; "extended_to" is the new
    deadline if the buyer extended it.
    """

    id: str
    version: int
    status: str
    cancel_reason: str | None
    buyer_id: str
    seller_id: str
    ticket: dict[str, Any]
    reservation_no: int
    expires_at: datetime
    refunded_at: datetime | None
    created_at: datetime
    updated_at: datetime
    refunded_cents: int = 0
    payment_version: int = 0
    was_extended: bool = False
    log: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def place(
        cls, ident: str, ticket: dict[str, Any], buyer_id: str, reservation_no: int, expires_at: datetime, now: datetime
    ) -> "Order":
        """Return a new order, which reserves the ticket until `expires_at`, or its start if that is earlier."""
        return cls(
            id=ident, version=1, status="created", cancel_reason=None, buyer_id=buyer_id,
            seller_id=ticket["seller_id"], ticket=_frozen(ticket),
            reservation_no=reservation_no, refunded_at=None, created_at=now, updated_at=now,
            expires_at=_start_at_most(expires_at, ticket["starts_at"]),
            log=[_log_entry(now, 1, "OrderCreated", "created")],
        )  # fmt: skip

    @property
    def is_live(self) -> bool:
        """Whether the order holds its ticket."""
        return self.status in LIVE

    @property
    def is_extendable(self) -> bool:
        """Whether the buyer may extend the deadline, in the last minutes before it."""
        later = _start_at_most(self.expires_at + EXTENSION, self.ticket["starts_at"])
        return self.status == "created" and not self.was_extended and later > self.expires_at

    def is_overdue(self, now: datetime) -> bool:
        """Whether its time to pay has run out."""
        return self.status == "created" and now >= self.expires_at

    def cancel(self, buyer_id: str, now: datetime) -> str | None:
        """Cancel for the buyer; return the event, or None if it is cancelled already."""
        self.check_owner(buyer_id)
        return self._cancel_unpaid("buyer", now)

    def cancel_by_operator(self, now: datetime) -> str | None:
        """Cancel for an operator, by the same rules as for the buyer."""
        return self._cancel_unpaid("operator", now)

    def _cancel_unpaid(self, reason: str, now: datetime) -> str | None:
        if self.status == "complete":
            raise OrderComplete("This order has been paid for and cannot be cancelled.")
        if self.status == "awaiting_payment":
            raise OrderBeingPaid("This order is being paid for and cannot be cancelled now.")
        return self._cancel(reason, now) if self.status == "created" else None

    def expire(self, now: datetime, is_unpaid: bool) -> str | None:
        """Cancel if the time to pay has run out and nothing was paid; return the event, or None.

        `is_unpaid`: whether payments, asked after the deadline, reports so. If it does not answer for
        EXPIRE_ANYWAY_AFTER, the order ends regardless, and whatever was authorized is voided.
        """
        if not self.is_overdue(now) or not (is_unpaid or now >= self.expires_at + EXPIRE_ANYWAY_AFTER):
            return None
        return self._cancel("expired", now)

    def apply_payment(self, payment: dict[str, Any], now: datetime) -> str | None:
        """Act on the state in a payment's snapshot; return the event of the change, or None if nothing changes.

        Snapshots may come in any order, any number of times. What was refunded may have failed since, so it is taken
        from newer snapshots only.
        """
        target = next_status(self.status, payment["status"], payment["final"])
        refunded = payment["version"] > self.payment_version and self._apply_refund(payment)
        self.payment_version = max(self.payment_version, payment["version"])
        if target == "awaiting_payment":
            return self._move(target, "OrderAwaitingPayment", now)
        if target == "cancelled":
            return self._cancel("payment_failed", now)
        if target == "complete":
            return self._move(target, "OrderCompleted", now)
        return self._move(self.status, "OrderUpdated", now) if refunded else None

    def _apply_refund(self, payment: dict[str, Any]) -> bool:
        """Record what was refunded to the buyer; return whether that changed anything."""
        before, price = (self.refunded_cents, self.refunded_at), self.ticket["price_cents"]
        self.refunded_cents = _returned_cents(payment, price)
        # a cancelled payment with a refund had captured less than the price
        is_all = self.refunded_cents >= (1 if payment["status"] == "cancelled" else price)
        self.refunded_at = (self.refunded_at or payment["updated_at"]) if is_all else None
        return before != (self.refunded_cents, self.refunded_at)

    def give_up(self, now: datetime) -> str | None:
        """Cancel an order whose payment could not be settled for too long; return the event, or None."""
        return self._cancel("payment_failed", now) if self.status == "awaiting_payment" else None

    def move_deadline(self, expires_at: datetime, now: datetime) -> str | None:
        """Give an unpaid order another deadline, at most the ticket's start; return the event, or None if it has it.

        Raises NoDeadline, DeadlinePassed if the new deadline is in the past, or StartsTooSoon.
        """
        self._check_deadline()
        moved = _start_at_most(expires_at, self.ticket["starts_at"])
        if moved <= now:
            raise DeadlinePassed(f"{moved:%Y-%m-%d %H:%M:%S} UTC has passed; expire_now ends an order at once.")
        if moved == self.expires_at:
            if moved < expires_at:
                raise StartsTooSoon("The time to pay ends when the event starts, and cannot end later.")
            return None
        self.expires_at = moved
        return self._move(self.status, "OrderUpdated", now)

    def extend(self, buyer_id: str, now: datetime) -> str | None:
        """Extend the deadline for the buyer, once; return the event, or None if that was done before.

        Raises NotOwner, NoDeadline, DeadlinePassed, TooEarlyToExtend or StartsTooSoon.
        """
        self.check_owner(buyer_id)
        self._check_deadline()
        if self.is_overdue(now):
            raise DeadlinePassed("The time to pay is over.")
        if self.was_extended:
            return None
        if now < self.expires_at - EXTENDED_WITHIN:
            raise TooEarlyToExtend("The time to pay can be extended in its last two minutes.")
        if not self.is_extendable:
            raise StartsTooSoon("The event starts when the time to pay is over, so that time cannot be extended.")
        self.expires_at = _start_at_most(self.expires_at + EXTENSION, self.ticket["starts_at"])
        self.was_extended = True
        return self._move(self.status, "OrderUpdated", now, extended_to=self.expires_at)

    def expire_now(self, now: datetime) -> str | None:
        """Move the deadline of an unpaid order to now; return the event, or None if it has passed already.

        The order then expires as at any deadline, after asking payments. Raises NoDeadline.
        """
        self._check_deadline()
        if self.is_overdue(now):
            return None
        self.expires_at = now
        return self._move(self.status, "OrderUpdated", now)

    def _check_deadline(self) -> None:
        if self.status != "created":
            raise NoDeadline(f"{WITHOUT_DEADLINE[self.status]}, so it has no deadline any more.")

    def check_owner(self, buyer_id: str) -> None:
        """Raise NotOwner unless the order is this buyer's."""
        if self.buyer_id != buyer_id:
            raise NotOwner("This order is not yours.")

    def snapshot(self) -> dict[str, Any]:
        """Return what the buyer and the seller may see."""
        return {
            "id": self.id,
            "version": self.version,
            "status": self.status,
            "cancel_reason": self.cancel_reason,
            "buyer_id": self.buyer_id,
            "seller_id": self.seller_id,
            "expires_at": self.expires_at,
            "is_extendable": self.is_extendable,
            "reservation_no": self.reservation_no,
            "price_cents": self.ticket["price_cents"],
            "currency": self.ticket["currency"],
            "ticket": {**NOT_KNOWN, **self.ticket},
            "refunded_at": self.refunded_at,
            "refunded_cents": self.refunded_cents,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }

    def _cancel(self, reason: str, now: datetime) -> str:
        self.cancel_reason = reason
        return self._move("cancelled", "OrderCancelled", now)

    def _move(self, status: str, event: str, now: datetime, **about: Any) -> str:
        self.status = status
        self.version += 1
        self.updated_at = now
        self.log = [*self.log, {**_log_entry(now, self.version, event, status), **about}][-LONGEST_LOG:]
        return event


def _log_entry(at: datetime, version: int, event: str, status: str) -> dict[str, Any]:
    return {"at": at, "version": version, "event": event, "status": status}


def _frozen(ticket: dict[str, Any]) -> dict[str, Any]:
    return {name: ticket[name] for name in FROZEN} | {name: ticket.get(name) for name in NOT_KNOWN}


def next_status(status: str, payment_status: str, payment_final: bool) -> str | None:
    """Return the status to which a payment's state moves an order, or None when it does not.

    The deadline plays no part in it: an order expires only after payments was asked.
    """
    if status not in ("created", "awaiting_payment"):
        return None
    if payment_status in ("captured", "refunded"):
        return "complete"
    if payment_status == "cancelled" and payment_final:
        return "cancelled"
    if payment_status == "authorized" and status == "created":
        return "awaiting_payment"
    return None


def _returned_cents(payment: dict[str, Any], price_cents: int) -> int:
    """Return how much of the price the buyer got back, by refunds and by a lost dispute, which may be partial."""
    dispute = payment.get("dispute") or {}
    lost = dispute.get("amount_cents", price_cents) if dispute.get("status") == "lost" else 0
    lost = dispute.get("lost_cents", lost)  # of all disputes; earlier versions of payments report only the newest
    back = price_cents if payment["status"] == "refunded" else payment.get("refunded_cents", 0) + lost
    return int(min(back, price_cents))


def is_outdated(ticket: dict[str, Any], seen_version: int | None) -> bool:
    """Whether the buyer has seen a newer version than our copy, which may then have a different price."""
    return seen_version is not None and seen_version > ticket["version"]


def refusal(live: dict[str, Any], buyer_id: str) -> DomainError:
    """Return why this buyer cannot reserve a ticket; `live`: id, status, buyer_id and seller_id of its live order."""
    if live["buyer_id"] == buyer_id:
        return AlreadyHeld("You have this ticket already.", order_id=live["id"])
    if live["seller_id"] == buyer_id:
        return OwnTicket("You cannot buy your own ticket.")
    if live["status"] == "complete":
        return TicketSold("This ticket has been sold.")
    return TicketReserved("This ticket is reserved.")


def check_ticket(ticket: dict[str, Any], buyer_id: str, seen_version: int | None, now: datetime) -> None:
    """Raise the reason, if any, why this buyer may not reserve the ticket, according to our copy."""
    if ticket["seller_id"] == buyer_id:
        raise OwnTicket("You cannot buy your own ticket.")
    if ticket["withdrawn"]:
        raise TicketWithdrawn("This ticket was withdrawn from sale.")
    if ticket["starts_at"] is not None and now >= ticket["starts_at"]:
        raise TicketStarted("This ticket can no longer be bought: it has started.")
    if seen_version is not None and seen_version < ticket["price_version"]:
        details = {name: ticket[name] for name in ("price_cents", "currency", "version")}
        raise PriceChanged("The price has changed since you saw it.", **details)


def free_slots(holds: Sequence[dict[str, Any]], unpaid: int, per_hour: int, now: datetime) -> list[int]:
    """Return which of a buyer's slots for at most `unpaid` orders at once are free; raise TooManyReservations.

    `holds` are the buyer's unpaid orders, and those of the last hour that lapsed or that the buyer cancelled, as
    {"status", "slot"?, "created_at", "expires_at"}: neither complete orders nor final declines count.
    """
    held = [hold for hold in holds if hold["status"] == "created"]
    recent = sorted(hold["created_at"] for hold in holds if hold["created_at"] > now - HOUR)
    if len(held) >= unpaid:
        until = min(hold["expires_at"] for hold in held)
        message = (
            f"You have {_some(len(held), 'unpaid reservation')}. Pay for one or cancel one before you reserve another."
        )
        raise TooManyReservations(message, retry_after=_seconds(until - now))
    if len(recent) >= per_hour:
        wait = _seconds(recent[-per_hour] + HOUR - now)
        message = f"You reserved {_some(len(recent), 'ticket')} within an hour and did not pay. {_try_again(wait)}"
        raise TooManyReservations(message, retry_after=wait)
    return sorted(set(range(unpaid)) - {hold.get("slot") for hold in held})


def _some(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _seconds(wait: timedelta) -> int:
    return max(1, math.ceil(wait.total_seconds()))


def _try_again(wait: int) -> str:
    minutes = math.ceil(wait / 60)
    return f"Try again in {minutes} minutes." if minutes > 1 else "Try again in a minute."


def _start_at_most(expires_at: datetime, starts_at: datetime | None) -> datetime:
    return expires_at if starts_at is None else min(expires_at, starts_at)
