"""How pages show money, times and states; nothing is formatted for people anywhere else."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from babel.numbers import get_currency_symbol
from flask import Flask
from markupsafe import Markup

from gateway.static_files import asset
from gateway.typed_prices import visitor_locale, with_decimal_mark
from libs import clock
from libs.context import correlation_id
from libs.contracts.currencies import currency_of

LABELS = {
    "movie": "Film",
    "concert": "Concert",
    "match": "Sport",
    "show": "Show",
    "stage": "Theatre",
    "other": "Other",
}
"""The categories' labels, in the order in which they are offered."""
STATES = {
    "on_sale": "On sale",
    "reserved": "Reserved",
    "sold": "Sold",
    "withdrawn": "Withdrawn",
    "started": "Started",
    "created": "Waiting for payment",
    "awaiting_payment": "Confirming payment",
    "complete": "Paid",
    "cancelled": "Cancelled",
}
BRANDS = {"visa": "Visa", "mastercard": "Mastercard", "amex": "American Express", "discover": "Discover"}


def register(app: Flask) -> None:
    """Give templates the filters and globals below."""
    for filter_ in (money, amount, moment, local_input, as_of_now, category, state, brand, code):
        app.add_template_filter(filter_)
    app.jinja_env.globals["CATEGORIES"] = LABELS
    app.add_template_global(icon)
    app.add_template_global(utc_now)
    app.add_template_global(as_of_now)
    app.add_template_global(correlation_id)


def money(minor: int, code: str) -> str:
    """Return $1,234.50 for dollars, ¥1,234 for yen, 1,234.500 KWD for a currency without a symbol in English."""
    text, symbol = f"{currency_of(code).major(minor):,}", _symbol(code)
    return f"{symbol}{text}" if symbol != code.upper() else f"{text} {symbol}"


@cache
def _symbol(code: str) -> str:
    return get_currency_symbol(code.upper(), "en_US")


def amount(minor: int, code: str) -> str:
    """Return 1234.50, as the visitor types a price: with a comma where their locale has one."""
    return with_decimal_mark(str(currency_of(code).major(minor)), visitor_locale())


def moment(iso: str) -> str:
    """Return 22 Nov 2026, 03:32 UTC."""
    when = datetime.fromisoformat(iso).astimezone(UTC)
    return f"{when.day} {when:%b %Y, %H:%M} UTC"


def code(text: str) -> Markup:
    """Return the text as HTML, with its parts between backticks as code."""
    shown, coded = Markup("{}"), Markup("<code>{}</code>")
    return Markup("").join((coded if number % 2 else shown).format(part) for number, part in enumerate(text.split("`")))


def local_input(iso: str | None) -> str:
    """Return the time in UTC as `<input type=datetime-local>` takes it."""
    if not iso:
        return ""
    when = datetime.fromisoformat(iso).astimezone(UTC).replace(tzinfo=None)
    seconds = "milliseconds" if when.microsecond else "seconds" if when.second else "minutes"
    return when.isoformat(timespec=seconds)


def as_of_now(ticket: dict[str, Any]) -> dict[str, Any]:
    """Return a ticket with the status that it has now: what is on sale is "started" once it has started."""
    is_over = ticket.get("status") == "on_sale" and has_started(ticket)
    return {**ticket, "status": "started"} if is_over else ticket


def has_started(ticket: dict[str, Any]) -> bool:
    """Return whether what the ticket is for has started, so that it can no longer be bought."""
    return bool(ticket["starts_at"]) and datetime.fromisoformat(ticket["starts_at"]) <= datetime.now(UTC)


def category(name: str) -> str:
    """Return a category's label."""
    return LABELS.get(name, name)


def state(name: str) -> str:
    """Return a ticket's or order's state in words."""
    return STATES.get(name, name)


def brand(name: str | None) -> str:
    """Return a card brand's name."""
    return BRANDS.get(name or "", "Card")


def utc_now() -> str:
    """Return the server's time; countdowns run on it and not on the browser's clock."""
    return clock.iso(clock.utc_now())


@cache
def icon(name: str) -> Markup:
    """Return one of the icons of `static/icons.svg`; what it means stands beside it in words."""
    drawing = Markup('<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>')
    return drawing.format(asset("icons.svg"), name)
