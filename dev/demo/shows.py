"""The tickets of the demo: believable ones in every category."""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Any

from libs.contracts.currencies import currency_setting

SHOWS = {
    # category: (what and where, seats, prices in minor units)
    "movie": (
        ("Metropolis, restored @ Odeon, screen 2", "Nosferatu with live piano @ Kino Arsenal",
         "The General @ Rex Cinema", "City Lights @ Lumière", "Shorts for children @ Kino Arsenal"),
        ("seat D7", "seat F12", "love seat 3", "front row", "seat H1", "last row"),
        (850, 1100, 1250, 990, 1400),
    ),
    "concert": (
        ("Mahler 2, Resurrection @ Philharmonie", "Northern Lights Jazz Trio @ Blue Room",
         "The Paper Lanterns @ The Old Foundry",
         "Bach by candlelight @ St Mary's Church", "Saltwater Choir @ Harbour Stage",
         "Organ marathon @ St Mary's Church", "Kora & Strings @ Blue Room"),
        ("row 4", "balcony left", "row 18", "first row", "aisle seat"),
        (2450, 3900, 5500, 1999, 12000, 7250),
    ),
    "match": (
        ("Rovers v. Wanderers @ Riverside Stadium", "Harbour City v. United @ National Arena",
         "Cup semi-final @ National Arena", "Women's derby @ Riverside Stadium", "Bears v. Wolves @ Ice Palace"),
        ("block C, row 9", "home end", "away end", "family stand", "main stand, row 2", "press seat"),
        (1800, 3500, 6200, 2700, 9900),
    ),
    "show": (
        ("Quick Change Magic @ Little Theatre", "The Tall Hat Circus @ Big Top, city park",
         "Stand-up Tuesday @ Cellar Club",
         "Ice Gala @ Ice Palace", "Puppets after dark @ Little Theatre"),
        ("row 2", "front row", "row 11", "aisle seat", "row 6", "last row"),
        (1600, 4200, 1250, 5400, 2300),
    ),
    "stage": (
        ("Hamlet @ Municipal Theatre", "The Cherry Orchard @ Studio 7", "The Magic Flute @ Royal Opera",
         "Waiting for Godot @ Studio 7", "A Doll's House @ Municipal Theatre", "Swan Lake @ Royal Opera"),
        ("stalls, row 3", "dress circle", "standing place", "box 5", "upper circle"),
        (3800, 9500, 1000, 14500, 2800, 6650),
    ),
    "other": (
        ("Night at the museum @ City Museum", "Harbour tour by steamboat @ Pier 4", "The winter sky @ Planetarium",
         "Chess against a master @ Guildhall", "Coffee cupping @ The Old Foundry"),
        ("adult", "child", "family ticket", "two friends"),
        (900, 1500, 2200, 450, 1250),
    ),
}  # fmt: skip
AT_ONCE = timedelta(minutes=2)
"""When shows start that nobody buys a ticket for; by then the demo is complete."""
AT_ONCE_EVERY = 40
SOON = timedelta(minutes=30)
SOON_EVERY = 25
DAYS_AHEAD = 240
START_HOURS = (19, 20, 15, 18, 21)  # UTC


def tickets(count: int, now: datetime) -> Iterator[dict[str, Any]]:
    """Yield `count` tickets as the API takes them; some start at once, some within hours, some have no date."""
    for number, category in enumerate(islice(cycle(SHOWS), count)):
        shows, seats, prices = SHOWS[category]
        turn = number // len(SHOWS)
        show, venue = shows[turn % len(shows)].split(" @ ")
        yield {
            "title": f"{show}, {seats[turn // 2 % len(seats)]}",
            "venue": venue,
            "category": category,
            "price": price(prices[turn % len(prices)] + 50 * (turn % 7)),
            **_start(number, now),
        }


def price(minor: int) -> str:
    """Return about so many minor units of CURRENCY as the API takes a price."""
    currency = currency_setting(os.environ.get("CURRENCY") or "usd")
    return str(currency.major(max(minor, currency.minimum) // currency.step * currency.step))


def starts_at_once(ticket: dict[str, Any], now: datetime) -> bool:
    """Return whether a ticket's show starts within minutes of `now`, too soon for an order."""
    return "startsAt" in ticket and datetime.fromisoformat(ticket["startsAt"]) <= now + AT_ONCE


def _start(number: int, now: datetime) -> dict[str, str]:
    if number % SOON_EVERY == 0:
        return _at(now + SOON * (1 + number // SOON_EVERY))
    if number % 19 == 7:
        return {}  # good on any day
    if number % AT_ONCE_EVERY == 3:
        return _at(now + AT_ONCE)
    day = now + timedelta(days=2 + number * 7 % DAYS_AHEAD)
    return _at(day.replace(hour=START_HOURS[number % 5], minute=30 * (number % 2), second=0))


def _at(moment: datetime) -> dict[str, str]:
    return {"startsAt": moment.isoformat(timespec="seconds")}
