"""The time zones in which something may take place: those of the IANA's database, by their names.

Domains import this file, so it imports nothing but the standard library.
"""

import zoneinfo
from functools import cache

NO_PLACES = {"Factory", "localtime", "posixrules"}
"""Names in the database of some systems that are none of the IANA's zones."""
TIME_ZONE_FORM = "a time zone of the IANA's database, like Europe/Berlin"


@cache
def time_zones() -> frozenset[str]:
    """Return the names of all time zones, older names included."""
    return frozenset(zoneinfo.available_timezones() - NO_PLACES)


def time_zone(name: str) -> str:
    """Return the name of a time zone; raise ValueError for any other text."""
    if name not in time_zones():
        raise ValueError(name)
    return name
