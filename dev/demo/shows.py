"""The tickets of the demo: believable ones in every category."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Any
from zoneinfo import ZoneInfo

from libs.contracts.currencies import currency_setting

SHOWS = {
    # category: (what and where, seats as section/row/seat, prices in minor units)
    "movie": (
        ("Metropolis, restored @ Odeon, screen 2", "Nosferatu with live piano @ Kino Arsenal",
         "The General @ Rex Cinema", "City Lights @ Lumière", "Shorts for children @ Kino Arsenal"),
        ("/D/7", "/F/12", "Love seats//3", "/A/4", "/H/1", "/M/15"),
        (850, 1100, 1250, 990, 1400),
    ),
    "concert": (
        ("Mahler 2, Resurrection @ Philharmonie", "Northern Lights Jazz Trio @ Blue Room",
         "The Paper Lanterns @ The Old Foundry",
         "Bach by candlelight @ St Mary's Church", "Saltwater Choir @ Harbour Stage",
         "Organ marathon @ St Mary's Church", "Kora & Strings @ Blue Room"),
        ("Stalls/4/11", "Balcony left/1/", "Stalls/18/2", "Stalls/1/7", "//"),
        (2450, 3900, 5500, 1999, 12000, 7250),
    ),
    "match": (
        ("Rovers v. Wanderers @ Riverside Stadium", "Harbour City v. United @ National Arena",
         "Cup semi-final @ National Arena", "Women's derby @ Riverside Stadium", "Bears v. Wolves @ Ice Palace"),
        ("C/9/22", "Home end//", "Away end//", "Family stand/5/3", "Main stand/2/40", "//"),
        (1800, 3500, 6200, 2700, 9900),
    ),
    "show": (
        ("Quick Change Magic @ Little Theatre", "The Tall Hat Circus @ Big Top, city park",
         "Stand-up Tuesday @ Cellar Club",
         "Ice Gala @ Ice Palace", "Puppets after dark @ Little Theatre"),
        ("/2/5", "/1/8", "/11/1", "//", "/6/6", "/20/3"),
        (1600, 4200, 1250, 5400, 2300),
    ),
    "stage": (
        ("Hamlet @ Municipal Theatre", "The Cherry Orchard @ Studio 7", "The Magic Flute @ Royal Opera",
         "Waiting for Godot @ Studio 7", "A Doll's House @ Municipal Theatre", "Swan Lake @ Royal Opera"),
        ("Stalls/3/14", "Dress circle/2/", "Standing//", "Box 5//2", "Upper circle/4/9"),
        (3800, 9500, 1000, 14500, 2800, 6650),
    ),
    "other": (
        ("Night at the museum @ City Museum", "Harbour tour by steamboat @ Pier 4", "The winter sky @ Planetarium",
         "Chess against a master @ Guildhall", "Coffee cupping @ The Old Foundry"),
        ("//",),
        (900, 1500, 2200, 450, 1250),
    ),
}  # fmt: skip
ELSEWHERE = {
    "Kino Arsenal": ("Berlin", "Europe/Berlin"),
    "Philharmonie": ("Berlin", "Europe/Berlin"),
    "Lumière": ("Paris", "Europe/Paris"),
}
HERE = ("London", "Europe/London")
"""The city and the time zone of all other venues."""
AT_ONCE = timedelta(minutes=2)
"""When shows start whose tickets are left unsold; by then the demo is complete."""
AT_ONCE_EVERY = 40
SOON = timedelta(minutes=30)
SOON_EVERY = 25
DAYS_AHEAD = 240
START_HOURS = (19, 20, 15, 18, 21)
"""When shows start, in the venue's local time."""
QUARTER = timedelta(minutes=15)
OF_ONE_EVENT = 4
"""How many tickets there are for one evening of a show, at most."""


def tickets(count: int, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield `count` tickets as bodies for the API; some start at once, some within hours, some have no date."""
    for number, category in enumerate(islice(cycle(SHOWS), count)):
        shows, seats, prices = SHOWS[category]
        turn = number // len(SHOWS)
        show, venue = shows[turn % len(shows)].split(" @ ")
        evening = number % len(SHOWS) + len(SHOWS) * (
            turn % len(shows) + turn // len(shows) // OF_ONE_EVENT * len(shows)
        )
        city, zone = ELSEWHERE.get(venue, HERE)
        section, row, seat = seats[turn // len(shows) % len(seats)].split("/")
        yield {
            "title": show,
            "venue": venue,
            "city": city,
            "seat": {"section": section, "row": row, "seat": seat},
            "category": category,
            "price": price(prices[turn % len(prices)] + 50 * (turn % 7)),
            **_start(number, evening, now.astimezone(ZoneInfo(zone))),
        }


def price(minor: int) -> str:
    """Return about so many minor units of CURRENCY as a price for the API."""
    currency = currency_setting(os.environ.get("CURRENCY") or "usd")
    return str(currency.major(max(minor, currency.minimum) // currency.step * currency.step))


def starts_at_once(ticket: dict[str, Any], now: datetime) -> bool:
    """Return whether a ticket's show starts within minutes of `now`, too soon for an order."""
    return "startsAt" in ticket and datetime.fromisoformat(ticket["startsAt"]) <= now + AT_ONCE


def _start(number: int, evening: int, now: datetime) -> dict[str, str]:
    """Return the start of a show; `now` is the time of its venue."""
    if number % SOON_EVERY == 0:
        soon = now + SOON * (1 + number // SOON_EVERY)
        return _at(soon + (datetime.min.replace(tzinfo=soon.tzinfo) - soon) % QUARTER)
    if number % 19 == 7:
        return {}  # good on any day
    if number % AT_ONCE_EVERY == 3:
        return _at(now + AT_ONCE)
    day = now + timedelta(days=2 + evening * 7 % DAYS_AHEAD)
    return _at(day.replace(hour=START_HOURS[evening % 5], minute=30 * (evening % 2), second=0))


def _at(local: datetime) -> dict[str, str]:
    return {"startsAt": local.isoformat(timespec="seconds"), "timeZone": str(local.tzinfo)}
