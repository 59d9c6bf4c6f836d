"""The rules of a listing. orders decides whether it is reserved or sold, which limits what its seller may do here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from libs.contracts.currencies import Currency, currency_of
from libs.contracts.errors import DomainError, InvalidFields, NotOwner, TicketReserved, TicketSold, TicketWithdrawn
from libs.contracts.limits import CATEGORIES, MAXIMUM_CITY, MAXIMUM_SEAT, MAXIMUM_TITLE, MAXIMUM_VENUE, SEAT_PARTS
from libs.contracts.texts import InvalidValue, checked_line
from libs.contracts.time_zones import time_zones
from tickets.event_identity import event_id

RESERVING = ("created", "awaiting_payment")
LONGEST_AHEAD = timedelta(days=3653)
"""How long before an event its tickets may be listed: ten years."""
KEPT: Any = object()
"""A placeholder for a detail that an edit leaves as it is."""


class InvalidTicket(InvalidFields):
    """The details entered for a ticket are invalid."""


class TicketChanged(DomainError):
    """The ticket was edited or withdrawn since the version that the seller saw; details have its current `version`."""


class EventNotFound(DomainError):
    """There is no ticket for this event, whatever its status."""


@dataclass
class Ticket:
    """One thing for sale, at one price, by one seller.

    `title`, `venue` and `starts_at` identify the event that it is for, `event_id`. `seat` is {section, row, seat}, each
    None if there is none; if all are, the holder may sit anywhere. Without a `seat` it is unknown; without a
    `time_zone` (the venue's) the site's is used.

    `reservation` is the newest known order of the ticket: {order_id, no, version, status, expires_at}.
    `revision` is the version of the seller's last change, `price_version` that of the last change of the price.
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
    revision: int = 1
    seat: dict[str, str | None] | None = None
    city: str | None = None
    time_zone: str | None = None
    event_id: str | None = None

    @classmethod
    def create(cls, ident: str, seller_id: str, currency: str, now: datetime, **details: Any) -> "Ticket":
        """Return a new listing; raise InvalidTicket."""
        ticket = cls(
            id=ident, version=1, seller_id=seller_id, price_version=1, currency=currency, withdrawn=False,
            reservation=None, created_at=now, updated_at=now, **checked_details(currency_of(currency), now, **details),
        )  # fmt: skip
        ticket._find_event()
        return ticket

    @property
    def status(self) -> str:
        """sold, reserved, withdrawn or on_sale: derived from the newest reservation and from `withdrawn`, never set."""
        held = self.reservation["status"] if self.reservation else None
        if held == "complete":
            return "sold"
        if held in RESERVING:
            return "reserved"
        return "withdrawn" if self.withdrawn else "on_sale"

    @property
    def reserved_until(self) -> datetime | None:
        """The deadline of the order that holds the ticket, None unless it is reserved."""
        return self.reservation["expires_at"] if self.reservation and self.status == "reserved" else None

    def has_started(self, now: datetime) -> bool:
        """Return whether the event has started; from then on the ticket cannot be bought."""
        return self.starts_at is not None and self.starts_at <= now

    def edit(
        self,
        seller_id: str,
        now: datetime,
        currency_code: str | None = None,
        seen_version: int | None = None,
        **details: Any,
    ) -> bool:
        """Change the listing as the seller saw it at `seen_version`, and its currency if one is given.

        Reservations since that version are no conflict. Details that are KEPT stay. With another title, venue or start
        it is a ticket for another event. Returns False if nothing changes.
        Raises InvalidTicket, NotOwner, TicketReserved, TicketSold, TicketWithdrawn or TicketChanged.
        """
        code = currency_code or self.currency
        details = {name: getattr(self, name) if value is KEPT else value for name, value in details.items()}
        checked = checked_details(currency_of(code), now, self.starts_at, **details)
        self._check_editable(seller_id)
        if self.withdrawn:
            raise TicketWithdrawn("This ticket was withdrawn from sale.")
        if code == self.currency and all(getattr(self, name) == value for name, value in checked.items()):
            return False  # perhaps because the same edit was sent before, by a double click or a retry
        self._check_seen(seen_version)
        self._revise(now)
        if (checked["price_cents"], code) != (self.price_cents, self.currency):
            self.currency, self.price_version = code, self.version
        for name, value in checked.items():
            setattr(self, name, value)
        self._find_event()
        return True

    def withdraw(self, seller_id: str, now: datetime, seen_version: int | None = None) -> bool:
        """Take the ticket off sale for good; return False if it already was. Raises what `edit` raises."""
        self._check_editable(seller_id)
        if self.withdrawn:
            return False
        self._check_seen(seen_version)
        return self.withdraw_by_operator(now)

    def withdraw_by_operator(self, now: datetime) -> bool:
        """Take the ticket off sale for good, for an operator; return False if it already was.

        Raises TicketSold or TicketReserved.
        """
        self._check_free()
        if self.withdrawn:
            return False
        self.withdrawn = True
        self._revise(now)
        return True

    def apply_order(self, order: dict[str, Any], now: datetime) -> bool:
        """Apply an order's snapshot; return False unless it is newer than what we have.

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
        self._count_change(now)
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return the public fields."""
        return {
            "id": self.id,
            "version": self.version,
            "seller_id": self.seller_id,
            "title": self.title,
            "price_cents": self.price_cents,
            "price_version": self.price_version,
            "revision": self.revision,
            "currency": self.currency,
            "category": self.category,
            "venue": self.venue,
            "city": self.city,
            "starts_at": self.starts_at,
            "time_zone": self.time_zone,
            "seat": self.seat,
            "event_id": self.event_id,
            "withdrawn": self.withdrawn,
            "status": self.status,
            "reserved_until": self.reserved_until,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }

    def seller_view(self) -> dict[str, Any]:
        """Return what only the seller may see: how much of the price the buyer got back, in cents."""
        sold = self.reservation if self.status == "sold" and self.reservation else {}
        return {**self.snapshot(), "refunded_cents": sold.get("refunded_cents", 0)}

    def _check_editable(self, seller_id: str) -> None:
        if seller_id != self.seller_id:
            raise NotOwner("This ticket is not yours.")
        self._check_free()

    def _check_free(self) -> None:
        if self.status == "sold":
            raise TicketSold("This ticket has been sold.")
        if self.status == "reserved":
            raise TicketReserved("A buyer has reserved this ticket; try again when the reservation has ended.")

    def _check_seen(self, version: int | None) -> None:
        if version is not None and not self.revision <= version <= self.version:
            raise TicketChanged("This ticket has changed since you opened it.", version=self.version)

    def _find_event(self) -> None:
        self.event_id = event_id(self.title, self.venue, self.starts_at)

    def _revise(self, now: datetime) -> None:
        self._count_change(now)
        self.revision = self.version

    def _count_change(self, now: datetime) -> None:
        self.version += 1
        self.updated_at = now


def checked_details(
    priced_in: Currency,
    now: datetime,
    kept_start: datetime | None = None,
    *,
    title: object,
    price_cents: object,
    category: object = "other",
    venue: object = None,
    starts_at: object = None,
    seat: object = None,
    city: object = None,
    time_zone: object = None,
) -> dict[str, Any]:
    """Return what a seller enters for a ticket, cleaned; raise InvalidTicket with the error of each field.

    It may not start in the past, unless that is the start that it has already, `kept_start`.
    """
    checks: dict[str, Callable[[], Any]] = {
        "title": lambda: _title(title),
        "price_cents": lambda: _price(priced_in, price_cents),
        "category": lambda: _category(category),
        "venue": lambda: _optional_line("venue", venue, MAXIMUM_VENUE),
        "starts_at": lambda: _start(starts_at, now, kept_start),
        "city": lambda: _optional_line("city", city, MAXIMUM_CITY),
        "time_zone": lambda: _time_zone(time_zone),
        "seat": lambda: _seat(seat),
        **{f"seat.{part}": partial(_seat_part, part, seat) for part in SEAT_PARTS if isinstance(seat, dict)},
    }
    checked: dict[str, Any] = {}
    errors = []
    for name, check in checks.items():
        try:
            checked[name] = check()
        except InvalidValue as error:
            errors.append({"field": name, "message": str(error)})
    if errors:
        raise InvalidTicket(errors)
    if checked["starts_at"] is None:
        checked["time_zone"] = None
    if checked["seat"] is not None:
        checked["seat"] = {part: checked.pop(f"seat.{part}") for part in SEAT_PARTS}
    return checked


def _title(value: object) -> str:
    title = checked_line("title of the event", value, MAXIMUM_TITLE)
    if not title:
        raise InvalidValue("Enter the title of the event.")
    return title


def _price(priced_in: Currency, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not priced_in.is_price(value):
        lowest, highest = priced_in.major(priced_in.minimum), priced_in.major(priced_in.maximum)
        raise InvalidValue(f"Enter a price from {lowest:,} to {highest:,}, {DECIMALS[priced_in.digits]}.")
    return value


def _category(value: object) -> str:
    if value not in CATEGORIES:
        raise InvalidValue("Choose one of the categories.")
    return str(value)


def _optional_line(name: str, value: object, maximum: int) -> str | None:
    return None if value is None else checked_line(name, value, maximum) or None


def _seat(value: object) -> object:
    if value is not None and not isinstance(value, dict):
        raise InvalidValue("Enter the seat as its section, row and seat.")
    return value


def _seat_part(part: str, seat: dict[str, object]) -> str | None:
    return _optional_line(part, seat.get(part), MAXIMUM_SEAT)


def _time_zone(value: object) -> str | None:
    if value is not None and not (isinstance(value, str) and value in time_zones()):
        raise InvalidValue("Choose a time zone, like Europe/Berlin.")
    return value


def _start(value: object, now: datetime, kept: datetime | None) -> datetime | None:
    if value is None:
        return None
    try:
        start = datetime.fromisoformat(value.upper()) if isinstance(value, str) else value
    except ValueError:
        start = None
    if not isinstance(start, datetime) or start.tzinfo is None:
        raise InvalidValue("Enter when it starts as a time in UTC, like 2030-01-31T19:30:00Z.")
    start = start.replace(microsecond=start.microsecond // 1000 * 1000)
    if start == kept:
        return kept
    if start <= now:
        raise InvalidValue("Enter a start that is not in the past.")
    if start > now + LONGEST_AHEAD:
        raise InvalidValue("Enter a start within the next ten years.")
    return start.astimezone(UTC)  # which no time between these bounds overflows


DECIMALS = {
    0: "without decimals",
    2: "with at most two decimals",
    3: "with at most three decimals, the third of them 0",
}
