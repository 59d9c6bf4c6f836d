"""The local time of a venue, as forms take it: the moments that it may mean, which are none or two as clocks change."""

from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from babel.dates import get_timezone_location

from gateway.languages import N_, catalogue

REGIONS = {
    "Africa": N_("Africa"),
    "America": N_("America"),
    "Antarctica": N_("Antarctica"),
    "Arctic": N_("Arctic"),
    "Asia": N_("Asia"),
    "Atlantic": N_("Atlantic"),
    "Australia": N_("Australia"),
    "Europe": N_("Europe"),
    "Indian": N_("Indian Ocean"),
    "Pacific": N_("Pacific"),
}
HOUR = timedelta(hours=1)


def moments(local: datetime, zone: str) -> list[datetime]:
    """Return when it is this time (naive) in a zone, in UTC: once, but twice or never while its clocks change.

    Raises OverflowError at the ends of the calendar.
    """
    there = ZoneInfo(zone)
    found = {local.replace(tzinfo=there, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(moment for moment in found if moment.astimezone(there).replace(tzinfo=None) == local)


def gap(local: datetime, zone: str) -> tuple[datetime, datetime]:
    """Return between which times (naive) there is none in a zone, of one that does not exist there.

    That is what clocks show last before they go forward, and first after it.
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
    """Return by how much the clocks of a zone are ahead of UTC at a moment, like +02:00."""
    return moment.astimezone(ZoneInfo(zone)).isoformat()[-6:]


@lru_cache(8)
def zones_by_region(spoken: str) -> dict[str, list[tuple[str, str]]]:
    """Return the zones of all places as (name, city) by their regions, in a language, in the order of the cities."""
    say = catalogue(spoken).gettext
    cities = [(zone, get_timezone_location(zone, locale=spoken, return_city=True)) for zone in zones_of_places()]
    found: dict[str, list[tuple[str, str]]] = {say(label): [] for label in REGIONS.values()}
    for zone, city in sorted(cities, key=lambda each: each[1].casefold()):
        found[say(REGIONS[zone.partition("/")[0]])].append((zone, city))
    return found


@cache
def zones_of_places() -> frozenset[str]:
    """Return the zones that the IANA's database names for places, without the older names of the same."""
    table = resources.files("tzdata").joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    return frozenset(line.split("\t")[2] for line in table.splitlines() if not line.startswith("#"))
