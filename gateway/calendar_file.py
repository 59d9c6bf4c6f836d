"""A bought ticket's event as a file for the buyer's calendar (iCalendar, RFC 5545)."""

from datetime import UTC, datetime
from typing import Any

from flask import get_template_attribute
from markupsafe import Markup

from gateway.languages import gettext

LINE_BYTES = 75
CONTROL = dict.fromkeys([*range(0x20), 0x7F])
ESCAPES = CONTROL | str.maketrans({"\\": r"\\", ";": r"\;", ",": r"\,", "\n": r"\n"})


def calendar_file(order: dict[str, Any], url: str) -> str:
    """Return the event of a paid order, whose page is at `url`, for a ticket that is good at one time only.

    The start is in UTC, which a calendar shows in its reader's zone. There is no end: it is unknown, and by the
    standard the event then ends as it starts. Imported again, the file replaces the earlier event.
    """
    ticket = order["ticket"]
    seat = Markup(get_template_attribute("_tickets.html", "seat")(ticket)).striptags()  # noqa: S704 - a template's
    number = f"{gettext('Order number')}: {order['id']}"
    event = {
        "UID": f"order-{order['id']}@ticketing",
        "DTSTAMP": _utc(order["updated_at"]),
        "DTSTART": _utc(ticket["starts_at"]),
        "SUMMARY": _text(ticket["title"]),
        "LOCATION": _text(", ".join(each for each in (ticket["venue"], ticket.get("city")) if each)),
        "DESCRIPTION": _text("\n".join(each for each in (seat, number, url) if each)),
        "URL": url,
    }
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Ticketing//EN", "BEGIN:VEVENT"]
    lines += [f"{name}:{value}" for name, value in event.items() if value]
    return "".join(_folded(line) for line in [*lines, "END:VEVENT", "END:VCALENDAR"])


def _utc(iso: str) -> str:
    return datetime.fromisoformat(iso).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(text: str) -> str:
    return text.translate(ESCAPES)


def _folded(line: str) -> str:
    """Return a line as several of 75 bytes at most, none of which ends within a character."""
    pieces = [""]
    for character in line:
        if len((pieces[-1] + character).encode()) > LINE_BYTES:
            pieces.append(" ")
        pieces[-1] += character
    return "".join(f"{piece}\r\n" for piece in pieces)
