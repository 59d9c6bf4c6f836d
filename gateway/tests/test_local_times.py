"""The venue's local time on the sell form: what it means, and what is asked or refused as clocks change."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway import local_times
from gateway.languages import COOKIE, LANGUAGES
from libs.contracts.time_zones import time_zones

HAMLET = {"title": "Hamlet", "price": "19.99", "category": "stage", "venue": "Volksbühne", "timeZone": "Europe/Berlin"}
MISSING = "does not exist on that day in"
PRICE = "Enter a price from 0.50 to 999,999.99, with at most two decimals."


def typed(**changes):
    return HAMLET | changes


def sold(ana, **changes):
    """Return the ticket that was listed."""
    answer = ana.submit("/sell", **typed(**changes))
    assert answer.status_code == 303, problems(answer.text)
    return ana.get(f"/api{answer.headers['Location']}").json


def problems(page):
    return [re.sub(r"<[^>]+>", "", each) for each in re.findall(r'<p class="problem".*?</p>', page)]


def zone_chosen(page):
    (zones,) = re.findall('<select id="timeZone".*?</select>', page, re.DOTALL)
    (chosen,) = re.findall(" selected>([^<]+)", zones)
    return chosen


def test_a_start_is_the_venues_local_time(ana):
    ticket = sold(ana, startsAt="2031-07-01T20:30")

    assert (ticket["startsAt"], ticket["timeZone"]) == ("2031-07-01T18:30:00.000Z", "Europe/Berlin")
    page = ana.get(f"/tickets/{ticket['id']}/edit").text
    assert 'value="2031-07-01T20:30"' in page and zone_chosen(page) == "Berlin"
    assert "20:30" in ana.get(f"/tickets/{ticket['id']}").text


def test_without_a_script_the_sites_own_zone_is_proposed_and_a_script_may_propose_another(ana):
    page = ana.get("/sell").text

    assert zone_chosen(page) == "UTC" and " data-own-zone" in page
    assert sold(ana, startsAt="2031-07-01T20:30", timeZone="UTC")["startsAt"] == "2031-07-01T20:30:00.000Z"


def test_after_the_four_digits_of_a_year_one_types_on_in_the_next_field(ana):
    assert ana.get("/sell").text.count(' max="9999-12-31T23:59"') == 1
    assert ana.get("/tickets").text.count(' max="9999-12-31"') == 2


@pytest.mark.parametrize(
    ("start", "zone", "said"),
    [
        ("2031-03-30T02:30", "Europe/Berlin", f"02:30 {MISSING} Berlin: the clocks go forward from 02:00 to 03:00."),
        (
            "2031-10-05T02:15",
            "Australia/Lord_Howe",
            f"02:15 {MISSING} Lord Howe: the clocks go forward from 02:00 to 02:30.",
        ),
        ("2031-13-01T20:00", "Europe/Berlin", "Enter the day and the time of the start."),
        ("9999-12-31T23:59", "America/New_York", "Enter the day and the time of the start."),
        ("soon", "Europe/Berlin", "Enter the day and the time of the start."),
        ("2031-07-01", "Europe/Berlin", "Enter the day and the time of the start."),
    ],
)  # fmt: skip
def test_a_time_that_does_not_exist_is_refused_together_with_all_other_problems(ana, services, start, zone, said):
    answer = ana.submit("/sell", **typed(startsAt=start, timeZone=zone, title="", row="x" * 51, price="x"))

    assert answer.status_code == 400
    assert re.findall('<li><a href="#([^"]+)">', answer.text) == ["title", "startsAt", "row", "price"]
    assert problems(answer.text) == [
        f"Error: {each}" for each in ("Enter the title of the event.", said, "Not a valid seat.row.", PRICE)
    ]
    assert services.tickets == {} and f'value="{start}"' in answer.text


def test_of_a_time_that_comes_twice_the_seller_chooses_one(ana):
    twice = {"startsAt": "2031-10-26T02:30"}

    asked = ana.submit("/sell", **typed(**twice))
    offered = re.findall(r'name="offset" value="([^"]+)"(?: checked)?> ([^<]+)', asked.text)
    first, second = (sold(ana, **twice, offset=offset) for offset, _ in offered)

    assert asked.status_code == 400 and ["this time comes twice" in each for each in problems(asked.text)] == [True]
    assert '<li><a href="#offset">' in asked.text and asked.text.count(' id="offset"') == 1
    assert offered == [
        ("+02:00", "02:30 before the clocks go back (UTC+02:00)"),
        ("+01:00", "02:30 after the clocks went back (UTC+01:00)"),
    ]
    assert (first["startsAt"], second["startsAt"]) == ("2031-10-26T00:30:00.000Z", "2031-10-26T01:30:00.000Z")
    page = ana.get(f"/tickets/{second['id']}/edit").text
    assert 'name="offset" value="+01:00" checked' in page


def test_a_past_start_that_comes_twice_is_a_problem_of_the_start_and_not_of_the_choice(ana):
    answer = ana.submit("/sell", **typed(startsAt="2025-10-26T02:30", offset="+02:00"))

    assert re.findall('<li><a href="#([^"]+)">', answer.text) == ["startsAt"]
    assert problems(answer.text) == ["Error: Enter a start that is not in the past."]


def test_a_choice_that_is_left_over_from_another_day_changes_nothing(ana):
    assert sold(ana, startsAt="2031-07-01T20:30", offset="+01:00")["startsAt"] == "2031-07-01T18:30:00.000Z"


@pytest.mark.parametrize("start", ["2031-07-01T20:30", ""])
def test_an_unknown_zone_is_refused_by_itself(ana, start):
    answer = ana.submit("/sell", **typed(startsAt=start, timeZone="Middle/Earth"))

    assert problems(answer.text) == ["Error: Choose one of the cities, like Berlin."]


def test_a_ticket_listed_before_there_were_zones_is_edited_in_the_sites_own(ana, ticket, services):
    stored = services.tickets[ticket["id"]]
    stored.update(starts_at="2031-07-01T20:30:00.000Z", seat=None, time_zone=None)

    page = ana.get(f"/tickets/{ticket['id']}/edit").text
    fields = dict(re.findall(r'<input id="(\w+)" name="\w+" type="[^"]+" value="([^"]*)"', page))
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))
    ana.post(f"/tickets/{ticket['id']}/edit", data={**hidden, **fields, "category": "stage", "timeZone": "UTC"})

    assert fields["startsAt"] == "2031-07-01T20:30"
    assert (stored["starts_at"], stored["seat"]) == ("2031-07-01T20:30:00.000Z", None)


@pytest.mark.parametrize(
    ("typed_zone", "zone"),
    [(" berlin", "Europe/Berlin"), ("Kairo", "Africa/Cairo"), ("Cairo", "Africa/Cairo"),
     ("Singapore", "Asia/Singapore"), ("America/New_York", "America/New_York"), ("Asia/Calcutta", "Asia/Calcutta")],
)  # fmt: skip
def test_a_zone_is_typed_as_its_city_in_the_sellers_language_or_in_english(ana, typed_zone, zone):
    ana.set_cookie(COOKIE, "de")

    assert sold(ana, startsAt="2031-07-01T20:30", timeZone=typed_zone)["timeZone"] == zone


def test_every_place_has_a_zone_to_choose():
    assert len(local_times.zones_of_places()) > 400 and local_times.zones_of_places() <= time_zones()
    for spoken in LANGUAGES:
        called = {local_times.name_of(zone, spoken): zone for zone in local_times.zones_of_places()}
        assert called == local_times.zones_by_city(spoken) and len(called) == len(local_times.zones_of_places())
        assert {name: local_times.zone_called(name, spoken) for name in called} == called


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "UTC"])
def test_every_moment_is_among_those_that_its_local_time_may_mean(zone):
    for hour in range(0, 24 * 366, 7):
        moment = datetime.fromtimestamp(1_917_000_000 + 1800 * hour, UTC)
        local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)

        assert moment in local_times.moments(local, zone)
