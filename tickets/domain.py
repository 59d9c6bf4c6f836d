"""The rules of a listing. orders tells what is reserved or sold; here that only limits what the seller may still do."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

CATEGORIES = ("movie", "concert", "match", "show", "stage", "other")
MINIMUM_PRICE_CENTS, MAXIMUM_PRICE_CENTS = 50, 99_999_999
"""Stripe's own bounds of an amount in US dollars (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts)."""
MAXIMUM_TITLE = MAXIMUM_VENUE = 200
HOLDING = ("created", "awaiting_payment")


class DomainError(Exception):
    """What the caller asked for is against a rule; the message is a sentence for the user."""


class TicketNotFound(DomainError):
    """There is no such ticket."""


class NotOwner(DomainError):
    """The ticket is somebody else's."""


class InvalidTicket(DomainError):
    """A field of the listing is not acceptable."""


class TicketReserved(DomainError):
    """A buyer holds the ticket."""


class TicketSold(DomainError):
    """The ticket has been paid for."""


class TicketWithdrawn(DomainError):
    """The seller took the ticket off sale."""


@dataclass
class Ticket:
    """One thing for sale, at one price, by one seller.

    `reservation` is the newest order on it that we have heard of: {order_id, no, version, status, expires_at}.
    `price_version` is the version in which the price last changed.
    """

    id: str
    version: int
    seller_id: str
    title: str
    price_cents: int
    price_version: int
    currency: str
    category: str
    venue: str | None
    starts_at: datetime | None
    withdrawn: bool
    reservation: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime

    @property
    def status(self) -> str:
        """sold, reserved, withdrawn or on_sale: derived from the newest reservation and from `withdrawn`, never set."""
        held = self.reservation["status"] if self.reservation else None
        if held == "complete":
            return "sold"
        if held in HOLDING:
            return "reserved"
        return "withdrawn" if self.withdrawn else "on_sale"

    @property
    def reserved_until(self) -> datetime | None:
        """The deadline of the order that holds the ticket, None unless it is reserved."""
        return self.reservation["expires_at"] if self.reservation and self.status == "reserved" else None

    def has_started(self, now: datetime) -> bool:
        """Return whether it has begun, so that nobody can buy the ticket any more."""
        return self.starts_at is not None and self.starts_at <= now

    def edit(self, seller_id: str, now: datetime, **details: Any) -> None:
        """Change the listing; raises NotOwner, TicketReserved, TicketSold, TicketWithdrawn or InvalidTicket."""
        self._check_free(seller_id)
        if self.withdrawn:
            raise TicketWithdrawn("This ticket was withdrawn from sale.")
        checked = checked_details(**details)
        self._saved(now)
        if checked["price_cents"] != self.price_cents:
            self.price_version = self.version
        for name, value in checked.items():
            setattr(self, name, value)

    def withdraw(self, seller_id: str, now: datetime) -> bool:
        """Take the ticket off sale for good; return False when it already was. Raises as `edit` does."""
        self._check_free(seller_id)
        if self.withdrawn:
            return False
        self.withdrawn = True
        self._saved(now)
        return True

    def follow(self, order: dict[str, Any], now: datetime) -> bool:
        """Take over what an order's snapshot says; return False when we know of that or of something newer.

        Orders on one ticket are numbered, so a late event of a dead order changes nothing.
        """
        incoming = (order["reservation_no"], order["version"])
        if self.reservation and incoming <= (self.reservation["no"], self.reservation["version"]):
            return False
        self.reservation = {
            "order_id": order["id"],
            "no": order["reservation_no"],
            "version": order["version"],
            "status": order["status"],
            "expires_at": order["expires_at"],
            "price_cents": order["price_cents"],
            "refunded_cents": order.get("refunded_cents", 0),
        }
        self._saved(now)
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return what everybody may see."""
        return {
            "id": self.id,
            "version": self.version,
            "seller_id": self.seller_id,
            "title": self.title,
            "price_cents": self.price_cents,
            "price_version": self.price_version,
            "currency": self.currency,
            "category": self.category,
            "venue": self.venue,
            "starts_at": self.starts_at,
            "withdrawn": self.withdrawn,
            "status": self.status,
            "reserved_until": self.reserved_until,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }

    def for_seller(self) -> dict[str, Any]:
        """Return what the seller may see besides: how much of the ticket's price the buyer got back, in cents."""
        sold = self.reservation if self.status == "sold" and self.reservation else {}
        return {**self.snapshot(), "refunded_cents": sold.get("refunded_cents", 0)}

    def _check_free(self, seller_id: str) -> None:
        if seller_id != self.seller_id:
            raise NotOwner("This ticket is not yours.")
        if self.status == "sold":
            raise TicketSold("This ticket has been sold.")
        if self.status == "reserved":
            raise TicketReserved("A buyer has reserved this ticket; try again when the reservation has ended.")

    def _saved(self, now: datetime) -> None:
        self.version += 1
        self.updated_at = now


def listed(ident: str, seller_id: str, currency: str, now: datetime, **details: Any) -> Ticket:
    """Return a new listing; raise InvalidTicket."""
    checked = checked_details(**details)
    return Ticket(
        id=ident, version=1, seller_id=seller_id, price_version=1, currency=currency, withdrawn=False, reservation=None,
        created_at=now, updated_at=now, **checked,
    )  # fmt: skip


def checked_details(
    title: object, price_cents: object, category: object = "other", venue: object = None, starts_at: object = None
) -> dict[str, Any]:
    """Return what a seller may say of a ticket, cleaned; raise InvalidTicket with a sentence and the field's name."""
    if not isinstance(price_cents, int) or isinstance(price_cents, bool):
        raise InvalidTicket("Price must be a whole number of cents.")
    if not MINIMUM_PRICE_CENTS <= price_cents <= MAXIMUM_PRICE_CENTS:
        raise InvalidTicket("Price must be between 0.50 and 999,999.99.")
    if category not in CATEGORIES:
        raise InvalidTicket(f"Category must be one of {', '.join(CATEGORIES)}.")
    cleaned_venue = None if venue is None else _text(venue, "Venue", 0, MAXIMUM_VENUE) or None
    return {
        "title": _text(title, "Title", 1, MAXIMUM_TITLE),
        "price_cents": price_cents,
        "category": category,
        "venue": cleaned_venue,
        "starts_at": _moment(starts_at),
    }


def words(*texts: str | None) -> list[str]:
    """Return the distinct words of `texts` in lower case, as a search compares them."""
    return sorted({word for text in texts if text for word in _split(text)})


def _split(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.casefold()).split()


def _text(value: object, name: str, minimum: int, maximum: int) -> str:
    text = value.strip() if isinstance(value, str) else None
    if text is None or not minimum <= len(text) <= maximum or not _is_storable(text):
        raise InvalidTicket(f"{name} must be {minimum} to {maximum} characters long.")
    return text


def _is_storable(text: str) -> bool:
    return not any(letter == "\x00" or "\ud800" <= letter <= "\udfff" for letter in text)


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise ValueError
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidTicket(
            "The start must be a time with its offset from UTC, such as 2026-12-24T19:30:00Z."
        ) from error
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
