"""The local time of a venue in forms: the moments that it may mean, which are none or two when the clocks change."""

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_location

from gateway.languages import ENGLISH
from libs.contracts.time_zones import time_zones

HOUR = timedelta(hours=1)


def moments(local: datetime, zone: str) -> list[datetime]:
    """Return when it is this time (naive) in a zone, in UTC: once, or twice or never while its clocks change.

    Raises OverflowError at the ends of the calendar.
    """
    there = ZoneInfo(zone)
    found = {local.replace(tzinfo=there, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(moment for moment in found if moment.astimezone(there).replace(tzinfo=None) == local)


def gap(local: datetime, zone: str) -> tuple[datetime, datetime]:
    """Return the gap (two naive times) around a time that does not exist in a zone.

    These are the last time that clocks show before they go forward, and the first one afterwards.
    """
    there = ZoneInfo(zone)
    before, after = (local.replace(tzinfo=there, fold=fold).utcoffset() or timedelta() for fold in (0, 1))
    first, last = (local - after).replace(tzinfo=UTC), (local - before).replace(tzinfo=UTC)
    while last - first > timedelta(minutes=1):
        middle = first + (last - first) / 2
        first, last = (middle, last) if middle.astimezone(there).utcoffset() == before else (first, middle)
    change = last.replace(second=0, microsecond=0).astimezone(there)
    return (change.replace(tzinfo=None) - (after - before)), change.replace(tzinfo=None)


def offset(moment: datetime, zone: str) -> str:
    """Return the UTC offset of a zone at a moment, like +02:00."""
    return moment.astimezone(ZoneInfo(zone)).isoformat()[-6:]


@lru_cache(8)
def zones_by_city(language_code: str) -> dict[str, str]:
    """Return the zones of all places by their cities, in a language and its order."""
    found = {get_timezone_location(zone, locale=language_code, return_city=True): zone for zone in zones_of_places()}
    return dict(sorted(found.items(), key=lambda each: each[0].casefold()))


def name_of(zone: str, language_code: str) -> str:
    """Return the name of a zone on the form: its city, or its own name if it is not one of a place."""
    return get_timezone_location(zone, locale=language_code, return_city=True) if zone in zones_of_places() else zone


def zone_called(name: str, language_code: str) -> str | None:
    """Return the zone with this name: that of its city, in English or another language, or its own."""
    return _zones_by_name(language_code).get(name.strip().casefold())


@lru_cache(8)
def _zones_by_name(language_code: str) -> dict[str, str]:
    called = {**{zone: zone for zone in time_zones()}, **zones_by_city(ENGLISH), **zones_by_city(language_code)}
    return {name.casefold(): zone for name, zone in called.items()}


@cache
def zones_of_places() -> frozenset[str]:
    """Return the zones that the IANA's database names for places, without the older names of the same."""
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    return frozenset(line.split("\t")[2] for line in table.splitlines() if not line.startswith("#"))
