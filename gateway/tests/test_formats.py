"""Times and amounts of money as pages show them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.cache import public
from gateway.formats import moment, money, next_midnight, total
from gateway.tests.conftest import create_test_app
from libs.clock import iso

NEW_YEAR = "2031-01-01T19:00:00.000Z"


@pytest.fixture
def berlin(services, revocations):
    """Return a site in Berlin."""
    return create_test_app(services, revocations, TIME_ZONE="Europe/Berlin")


def test_a_start_is_shown_with_its_weekday_in_the_time_of_its_venue(berlin):
    with berlin.test_request_context():
        assert moment(NEW_YEAR, "America/New_York") == "Wed, 1 Jan 2031, 14:00 New York time"
        assert moment(NEW_YEAR, "Asia/Tokyo") == "Thu, 2 Jan 2031, 04:00 Tokyo time"


def test_a_zone_that_only_newer_services_know_breaks_no_page(berlin, services):
    seller = berlin.test_client()
    seller.post("/api/users/signup", json={"email": "ana@example.com", "password": "ana and a word"})
    ticket = seller.post("/api/tickets", json={"title": "Hamlet", "price": 20, "startsAt": NEW_YEAR}).json
    services.tickets[ticket["id"]]["time_zone"] = "Mars/Olympus_Mons"

    for path in ("/", "/tickets", f"/tickets/{ticket['id']}", f"/events/{ticket['eventId']}"):
        assert "Wed, 1 Jan 2031, 20:00 Berlin time" in seller.get(path).text


def test_the_zone_is_not_named_at_a_site_whose_venues_are_all_in_it(berlin):
    with berlin.test_request_context():
        assert moment(NEW_YEAR) == moment(NEW_YEAR, "Europe/Berlin") == "Wed, 1 Jan 2031, 20:00"


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "19:00 UTC"),
        ("Zulu", "19:00 UTC"),
        ("GMT", "19:00 UTC"),
        ("Etc/GMT+5", "14:00 UTC-05:00"),
        ("Etc/GMT-14", "09:00 UTC+14:00"),
        ("Asia/Calcutta", "00:30 Kolkata time"),
        ("US/Pacific", "11:00 Los Angeles time"),
    ],
)
def test_a_zone_without_a_place_is_named_by_its_offset_and_an_old_name_by_its_city(berlin, zone, shown):
    with berlin.test_request_context():
        assert moment(NEW_YEAR, zone).endswith(f", {shown}")


@pytest.mark.parametrize(("city", "named"), [("New York", ""), (" new york", ""), ("Boston", " New York time")])
def test_the_zone_is_not_named_beside_the_city_that_it_is_called_by(berlin, city, named):
    with berlin.test_request_context():
        assert moment(NEW_YEAR, "America/New_York", city=city) == f"Wed, 1 Jan 2031, 14:00{named}"


@pytest.mark.parametrize(("days", "word"), [(-1, "yesterday"), (0, "today"), (1, "tomorrow")])
def test_the_days_around_today_are_called_so_by_the_calendar_of_the_venue(berlin, days, word):
    there = datetime.now(ZoneInfo("Pacific/Kiritimati")) + timedelta(days=days)
    with berlin.test_request_context():
        shown = moment(iso(there.astimezone(UTC)), "Pacific/Kiritimati")

    assert shown == f"{word} {there:%H:%M} Kiritimati time"


def test_what_a_page_calls_today_ends_at_midnight_of_the_venue(berlin):
    ticket = {"starts_at": NEW_YEAR, "time_zone": "Asia/Kathmandu"}
    with berlin.test_request_context():
        until = public._changes_at([ticket])

        assert until == next_midnight(["Asia/Kathmandu"]) <= next_midnight([])
    zones = [ZoneInfo("Asia/Kathmandu"), ZoneInfo("Europe/Berlin")]
    assert any(f"{datetime.fromtimestamp(until, zone):%H:%M:%S}" == "00:00:00" for zone in zones)
    assert 0 < until - datetime.now(UTC).timestamp() <= 25 * 3600


def test_a_sign_of_several_currencies_has_the_code_beside_it_where_one_pays():
    assert [money(1999, code) for code in ("usd", "cad", "eur")] == ["$19.99", "CA$19.99", "€19.99"]
    assert [total(1999, code) for code in ("usd", "cad", "eur")] == ["$19.99 USD", "CA$19.99", "€19.99"]


def test_a_german_page_has_the_code_in_place_of_such_a_sign(berlin):
    with berlin.test_request_context(headers={"Accept-Language": "de"}):
        assert [total(1999, code) for code in ("usd", "eur")] == ["19,99\xa0USD", "19,99\xa0€"]
        assert money(1999, "usd") == "19,99\xa0$"
