"""The artwork of tickets."""

import re

from dev.demo.shows import SHOWS
from gateway.artwork import MOTIFS, TONES, artwork, illustration
from gateway.static_files import files
from libs.contracts.limits import CATEGORIES


def a_ticket(title="Hamlet, row 3", venue="Globe", category="stage", starts_at=None):
    return {"title": title, "venue": venue, "category": category, "starts_at": starts_at}


def test_all_seats_of_an_event_have_the_same_picture():
    assert artwork(a_ticket("Hamlet, row 3")) == artwork(a_ticket("HAMLET, box 5"))
    assert artwork(a_ticket("Hamlet")) != artwork(a_ticket("Macbeth"))


def test_evenings_of_a_show_have_one_picture_in_colours_of_their_own():
    days = range(1, TONES + 1)
    evenings = [artwork(a_ticket(starts_at=f"2030-06-{day:02}T18:30:00.000Z")) for day in days]

    assert {evening.tone for evening in evenings} == {*range(TONES)}
    assert len({evening._replace(tone=0) for evening in evenings}) == 1


def test_most_events_have_pictures_of_their_own():
    events = [(category, show) for category, (shows, *_) in SHOWS.items() for show in shows]
    seen = {artwork(a_ticket(show, None, category))[:3] for category, show in events}

    assert len(seen) > 0.8 * len(events)


def test_every_motif_and_every_set_of_colours_is_drawn():
    drawn = set(re.findall(r'<symbol id="([^"]+)"', files()["art.svg"].decode()))
    tones = set(re.findall(r"\.tone-(\d)", files()["style.css"].decode()))

    assert {f"{category}-{number + 1}" for category in CATEGORIES for number in range(MOTIFS)} == drawn
    assert {str(number) for number in range(TONES)} == tones
    assert {illustration(category, other).motif for category in CATEGORIES for other in (0, 1)} <= drawn
