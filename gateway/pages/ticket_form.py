"""The form of a ticket: the event, the seat, and the venue's local time."""

from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from babel.dates import format_time, get_timezone_location
from flask import current_app
from markupsafe import Markup, escape

from gateway import local_times
from gateway.formats import amount
from gateway.languages import N_, Labels, gettext, language
from gateway.pages.forms import Form
from gateway.price_input import visitor_locale, with_decimal_mark
from gateway.schemas import TicketBody
from libs.contracts.limits import SEAT_PARTS

LABELS = Labels(
    {
        "title": N_("Event"),
        "venue": N_("Venue"),
        "city": N_("City"),
        "startsAt": N_("Start"),
        "timeZone": N_("Time zone"),
        "section": N_("Section"),
        "row": N_("Row"),
        "seat": N_("Seat"),
        "category": N_("Category"),
        "price": N_("Price"),
    }
)
"""The fields, in their order on the page."""
ORDER = tuple(each for name in LABELS for each in ((name, "offset") if name == "timeZone" else (name,)))
"""The same, and the choice between two times."""
INVALID = False
"""A start that a service refuses, so that it reports all other errors too."""

LONGEST_DAY = len("2031-01-31")


class Choice(NamedTuple):
    """One of two moments with the same local time: its offset from UTC, and its label."""

    offset: str
    label: str


class TicketForm(Form):
    """The form of a new ticket, or of `ticket`."""

    explained = (400, 409, 429)
    fields = ORDER

    def __init__(self, ticket: dict[str, Any] | None = None) -> None:
        locale = visitor_locale()
        schema = TicketBody(locale=locale)
        self.currency, self.example = schema.currency, with_decimal_mark(str(schema.currency.example), locale)
        self._is_seat_unknown = ticket is not None and ticket.get("seat") is None
        self._start_problem = ""
        super().__init__(schema, ticket and self._as_typed(ticket))
        self.is_zone_typed = bool(self.typed.get("timeZone"))
        self._zone = local_times.zone_called(self.typed.get("timeZone") or site_zone(), language())
        if self._zone:
            self.typed["timeZone"] = local_times.name_of(self._zone, language())

    @property
    def zones(self) -> dict[str, str]:
        """The time zones to choose from, by their cities."""
        return local_times.zones_by_city(language())

    @property
    def choices(self) -> list[Choice]:
        """The two moments that the typed start may mean, if it is ambiguous."""
        local = _read(self.typed.get("startsAt", ""))
        return [] if local is None or self._zone is None else _choices(local, self._zone)

    def show_stored(self, ticket: dict[str, Any]) -> None:
        """Show the details now stored beside the input, so that a seller who sends the form again has seen them."""
        stored = self._as_typed(ticket)
        self.problems = {
            "version": gettext("This ticket has changed since you opened it. Save again to replace what is stored.")
        }
        for name, label in LABELS.items():
            if self.typed.get(name, "") != stored[name]:
                shown = Markup("<bdi>{}</bdi>").format(stored[name] or gettext("empty"))
                self.problems[name] = escape(gettext("{field} is {stored} now.")).format(field=label, stored=shown)
        self.typed["version"] = stored["version"]

    def given(self) -> dict[str, Any]:
        """Return the input; the start is the venue's local time, and becomes a moment."""
        given = super().given()
        seat = {part: given.pop(part, None) for part in SEAT_PARTS}
        if any(seat.values()) or not self._is_seat_unknown:
            given["seat"] = seat
        given.setdefault("city", None)
        given["timeZone"] = self._zone or given["timeZone"]
        if start := given.get("startsAt"):
            given["startsAt"] = self._moment(start, given.pop("offset", ""))
        return given

    def _moment(self, start: str, offset: str) -> str | bool:
        """Return a start in the service's form, or one that it refuses, and note why."""
        try:
            local = _parse(start)
            if local.tzinfo is not None:
                return start
            found = local_times.moments(local, self._zone) if self._zone else None
        except (ValueError, OverflowError):
            self._start_problem = gettext("Enter the day and the time of the start.")
            return INVALID
        if not self._zone or found is None:  # the zone's error is enough
            return local.replace(tzinfo=UTC).isoformat()
        chosen = [each for each in found if len(found) == 1 or local_times.offset(each, self._zone) == offset]
        if not chosen:
            self._start_problem = _why_not(local, self._zone, len(found))
            return INVALID
        return chosen[0].isoformat()

    def _set_problems(self, status: int, problems: list[dict[str, Any]]) -> None:
        super()._set_problems(status, [each | _of_part(each) for each in problems])
        if self._start_problem:
            self.problems.pop("startsAt", None)
            self.problems["offset" if self.choices else "startsAt"] = self._start_problem
        if self._zone is None and "timeZone" in self.problems:
            self.problems["timeZone"] = gettext("Choose one of the cities, like Berlin.")
        in_order = [name for name in (*ORDER, *self.problems) if name in self.problems]
        self.problems = {name: self.problems[name] for name in in_order}

    def _as_typed(self, ticket: dict[str, Any]) -> dict[str, Any]:
        has_our_currency = ticket["currency"] == self.currency.code
        zone, seat = ticket.get("time_zone") or site_zone(), ticket.get("seat") or {}
        return {
            "title": ticket["title"],
            "price": amount(ticket["price_cents"], ticket["currency"]) if has_our_currency else "",
            "category": ticket["category"],
            "venue": ticket["venue"] or "",
            "city": ticket.get("city") or "",
            "startsAt": _local_input(ticket["starts_at"], zone),
            "timeZone": local_times.name_of(zone, language()),
            "offset": _offset(ticket["starts_at"], zone),
            **{part: seat.get(part) or "" for part in SEAT_PARTS},
            "version": ticket["version"],
        }


def site_zone() -> str:
    """Return the time zone of the site."""
    zone: ZoneInfo = current_app.config["TIME_ZONE"]
    return zone.key


def _of_part(problem: dict[str, Any]) -> dict[str, Any]:
    """Return the field for an error in a part of the seat: on the form each part has its own."""
    name, _, part = problem.get("field", "").partition(".")
    return {"field": part or "section"} if name == "seat" else {}


def _read(start: str) -> datetime | None:
    try:
        local = _parse(start)
    except ValueError:
        return None
    return local if local.tzinfo is None else None


def _parse(start: str) -> datetime:
    """Return a typed day and time; raise ValueError for anything else, even a day without a time."""
    if len(start) <= LONGEST_DAY:
        raise ValueError(start)
    return datetime.fromisoformat(start)


def _choices(local: datetime, zone: str) -> list[Choice]:
    try:
        found = local_times.moments(local, zone)
    except OverflowError:
        return []
    if len(found) != 2:
        return []
    shown, offsets = _clock(local), [local_times.offset(moment, zone) for moment in found]
    return [
        Choice(
            offsets[0], gettext("%(time)s before the clocks go back (UTC%(offset)s)", time=shown, offset=offsets[0])
        ),
        Choice(
            offsets[1], gettext("%(time)s after the clocks went back (UTC%(offset)s)", time=shown, offset=offsets[1])
        ),
    ]


def _why_not(local: datetime, zone: str, times: int) -> str:
    """Return why a start is not a single moment."""
    if times:
        return gettext("The clocks go back that night, so this time comes twice. Choose which of the two you mean.")
    before, after = local_times.gap(local, zone)
    return gettext(
        "%(time)s does not exist on that day in %(city)s: the clocks go forward from %(before)s to %(after)s.",
        time=_clock(local),
        city=get_timezone_location(zone, locale=language(), return_city=True),
        before=_clock(before),
        after=_clock(after),
    )


def _clock(local: datetime) -> str:
    return format_time(local, "short" if language() != "en" else "HH:mm", locale=language())


def _local_input(iso: str | None, zone: str) -> str:
    """Return a time as `<input type=datetime-local>` takes it."""
    if not iso:
        return ""
    local = datetime.fromisoformat(iso).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    seconds = "milliseconds" if local.microsecond else "seconds" if local.second else "minutes"
    return local.isoformat(timespec=seconds)


def _offset(iso: str | None, zone: str) -> str:
    return local_times.offset(datetime.fromisoformat(iso), zone) if iso else ""
