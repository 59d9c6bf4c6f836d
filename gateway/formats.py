"""How pages show money, times and states, in the visitor's language; nothing is formatted for people anywhere else."""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale
from babel.dates import format_skeleton, get_timezone_location
from babel.numbers import format_currency, get_currency_symbol
from flask import Flask, current_app
from markupsafe import Markup

from gateway.languages import N_, NP_, Labels, catalogue, gettext, language
from gateway.price_input import visitor_locale, with_decimal_mark
from gateway.sentences import translated
from gateway.static_files import asset
from libs import clock
from libs.context import correlation_id
from libs.contracts.currencies import currency_of

LABELS = Labels(
    {
        "movie": NP_("category", "Film"),
        "concert": NP_("category", "Concert"),
        "match": NP_("category", "Sport"),
        "show": NP_("category", "Show"),
        "stage": NP_("category", "Theatre"),
        "other": NP_("category", "Other"),
    },
    "category",
)
"""The categories' labels, in the order in which they are offered."""
STATES = Labels(
    {
        "on_sale": N_("On sale"),
        "reserved": N_("Reserved"),
        "sold": N_("Sold"),
        "withdrawn": N_("Withdrawn"),
        "started": N_("Started"),
        "created": N_("Not paid yet"),
        "awaiting_payment": N_("Confirming payment"),
        "complete": N_("Paid"),
        "cancelled": N_("Cancelled"),
    }
)
BRANDS = {"visa": "Visa", "mastercard": "Mastercard", "amex": "American Express", "discover": "Discover"}
DAYS = Locale("en", "GB")
"""How English pages write days and times: with 24 hours, and the day before the month."""
SHARED_SIGNS = ("$", "¥")
"""Signs of several currencies, of which each country means its own."""
CACHED = 8192


def register(app: Flask) -> None:
    """Give templates the filters and globals below."""
    for filter_ in (money, total, amount, moment, month, as_of_now, category, state, brand, code, translated):
        app.add_template_filter(filter_)
    app.jinja_env.globals["CATEGORIES"] = LABELS
    app.add_template_global(icon)
    app.add_template_global(starts)
    app.add_template_global(when)
    app.add_template_global(whose_time)
    app.add_template_global(utc_now)
    app.add_template_global(as_of_now)
    app.add_template_global(correlation_id)


def money(minor: int, code: str) -> str:
    """Return $1,234.50, 1.234,50 $ in German, and KWD 1,234.500 for a currency without a sign."""
    return _money(minor, code.upper(), language())


def total(minor: int, code: str) -> str:
    """Return an amount to pay, or paid: $1,234.50 USD, with the code if other currencies have the sign too.

    A language that writes the sign behind the amount, like German, has the code in its place: 1.234,50 USD. A page says
    it once: there is no room for it on each card of a list, where all prices are in one currency.
    """
    shown, sign = money(minor, code), get_currency_symbol(code.upper(), language())
    if sign not in SHARED_SIGNS:
        return shown
    return f"{shown.removesuffix(sign)}{code.upper()}" if shown.endswith(sign) else f"{shown} {code.upper()}"


@lru_cache(CACHED)
def _money(minor: int, code: str, language_code: str) -> str:
    text: str = format_currency(currency_of(code).major(minor), code, locale=language_code)
    begins_with_code = text.startswith(code) and text[len(code)].isdigit()
    return f"{code}\xa0{text.removeprefix(code)}" if begins_with_code else text


def amount(minor: int, code: str) -> str:
    """Return 1234.50, as the visitor types a price: with a comma where their locale has one."""
    return with_decimal_mark(str(currency_of(code).major(minor)), visitor_locale())


def moment(iso: str, zone: str | None = None, *, near: bool = True, city: str | None = None) -> str:
    """Return "Sun, 22 Nov 2026, 20:55": the time in a zone (IANA), by default the site's own, to the minute.

    The zone is named by a city, or by its offset from UTC if it has no place; not if it is that of a `city` beside
    the time, or the site's own, unless that is UTC. With `near` it is "today 20:55" on the day, and likewise the day
    before and after; what shows that is good until midnight there.
    """
    there, here = _zone(zone), _site_zone().key
    is_of_city = city and _is_of(city, there.key, language())
    is_named = _is_placeless(there.key) or (zone or here) != here and not is_of_city
    today = datetime.now(there).date() if near else date.min
    return _moment(iso, there, language(), today, is_named)


def starts(ticket: dict[str, Any]) -> Markup:
    """Return the start of a ticket's event, as an element: the venue's local time, with its zone where needed.

    Beside it a script shows the time on the reader's clock where that differs.
    """
    at, zone = ticket["starts_at"], ticket.get("time_zone")
    element = Markup('<time datetime="{}" data-zone="{}">{}</time>')
    return element.format(at, zone or _site_zone().key, moment(at, zone, city=ticket.get("city")))


def when(iso: str, *, near: bool = True) -> Markup:
    """Return any other time as an element: in the site's zone, in place of which a script shows the reader's own."""
    element = Markup('<time datetime="{}" data-own{}>{}</time>')
    return element.format(iso, Markup('="near"') if near else "", moment(iso, near=near))


@lru_cache(CACHED)
def _is_of(city: str, zone: str, language_code: str) -> bool:
    """Return whether a zone is named after a city, in English or the language of the page."""
    names = (get_timezone_location(zone, locale=each, return_city=True) for each in {"en", language_code})
    return city.strip().casefold() in (name.casefold() for name in names)


def local_iso(iso: str, zone: str | None) -> str:
    """Return a time in a zone, by default the site's own, with its offset, like 2026-11-22T20:55:00+01:00."""
    return datetime.fromisoformat(iso).astimezone(_zone(zone)).isoformat(timespec="seconds")


def month(year_month: str) -> str:
    """Return "November 2026" for 2026-11."""
    return format_skeleton("yMMMM", date.fromisoformat(f"{year_month}-01"), locale=language())


def next_midnight(zones: Collection[str | None]) -> float:
    """Return the next midnight in any of these zones and the site's own, in seconds since 1970."""
    found = []
    for zone in {_site_zone(), *map(_zone, zones)}:
        tomorrow = datetime.now(zone).date() + timedelta(days=1)
        found.append(datetime.combine(tomorrow, time.min, zone).timestamp())
    return min(found)


def whose_time() -> str:
    """Return the name of the zone in which a page shows times without a zone."""
    zone = _site_zone()
    if _is_placeless(zone.key):
        return f"UTC{_offset(datetime.now(zone))}"
    return gettext("%(city)s time", city=get_timezone_location(zone.key, locale=language(), return_city=True))


def _zone(name: str | None) -> ZoneInfo:
    """Return a zone by its name; the site's own without one, or with one that only newer services know."""
    try:
        return ZoneInfo(name) if name else _site_zone()
    except ZoneInfoNotFoundError:
        return _site_zone()


def _site_zone() -> ZoneInfo:
    zone: ZoneInfo = current_app.config["TIME_ZONE"]
    return zone


@cache
def _is_placeless(zone: str) -> bool:
    """Return whether a zone is UTC, or a fixed offset from it, by whichever name."""
    return get_timezone_location(zone, locale="en", return_city=True).startswith(("UTC", "GMT"))


def _offset(local: datetime) -> str:
    """Return the offset of a time from UTC like -05:00, or "" for UTC itself; Etc/GMT+5 is five hours behind."""
    return local.isoformat()[-6:] if local.utcoffset() else ""


@lru_cache(CACHED)
def _moment(iso: str, zone: ZoneInfo, language_code: str, today: date, is_named: bool) -> str:
    local = datetime.fromisoformat(iso).astimezone(zone)
    locale, say = DAYS if language_code == "en" else Locale(language_code), catalogue(language_code).gettext
    city = get_timezone_location(zone.key, locale=locale, return_city=True) if is_named else ""
    form = N_("%(time)s %(city)s time") if city else N_("%(time)s")
    if _is_placeless(zone.key):
        form = N_("%(time)s UTC%(offset)s")
    shown = {"time": locale.datetime_skeletons["Hm"].apply(local, locale), "city": city, "offset": _offset(local)}
    clock_time = say(form) % shown
    days = {-1: N_("yesterday %(time)s"), 0: N_("today %(time)s"), 1: N_("tomorrow %(time)s")}
    near = days.get((local.date() - today).days)
    if near:
        return say(near) % {"time": clock_time}
    return f"{locale.datetime_skeletons['yMMMEd'].apply(local, locale)}, {clock_time}"


def code(text: str) -> Markup:
    """Return the text as HTML, with its parts between backticks as code."""
    shown, coded = Markup("{}"), Markup("<code>{}</code>")
    return Markup("").join((coded if number % 2 else shown).format(part) for number, part in enumerate(text.split("`")))


def as_of_now(ticket: dict[str, Any]) -> dict[str, Any]:
    """Return a ticket with its current status: one on sale is "started" once its event has."""
    is_over = ticket.get("status") == "on_sale" and has_started(ticket)
    return {**ticket, "status": "started"} if is_over else ticket


def has_started(ticket: dict[str, Any]) -> bool:
    """Return whether the ticket's event has started, so that it can no longer be bought."""
    return bool(ticket["starts_at"]) and datetime.fromisoformat(ticket["starts_at"]) <= datetime.now(UTC)


def category(name: str) -> str:
    """Return a category's label."""
    return LABELS.get(name, name)


def state(name: str) -> str:
    """Return a ticket's or order's state in words."""
    return STATES.get(name, name)


def brand(name: str | None) -> str:
    """Return a card brand's name."""
    return BRANDS.get(name or "") or gettext("Card")


def utc_now() -> str:
    """Return the server's time; countdowns run on it and not on the browser's clock."""
    return clock.iso(clock.utc_now())


@cache
def icon(name: str) -> Markup:
    """Return one of the icons of `static/icons.svg`; what it means stands beside it in words."""
    drawing = Markup('<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"/></svg>')
    return drawing.format(asset("icons.svg"), name)
