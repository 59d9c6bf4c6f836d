"""The calendar file for the event of a bought ticket."""

import re

import pytest

HAMLET = {"title": "Hamlet", "price": 19.99, "category": "stage", "venue": "Globe", "city": "London"}
START = {"startsAt": "2036-07-01T19:30:00+01:00", "timeZone": "Europe/London"}


@pytest.fixture
def buy(ana, bo):
    """Return a function that sells bo a ticket and returns the page of the order."""

    def buy(**ticket):
        sold = ana.post("/api/tickets", json=HAMLET | START | ticket).json
        page = f"/orders/{bo.post('/api/orders', json={'ticketId': sold['id']}).json['id']}"
        bo.submit(page, f"{page}/pay", token="tok_visa")
        return page

    return buy


def entry(answer):
    """Return the properties of the event in a file, with its lines unfolded."""
    assert re.fullmatch(r"BEGIN:VCALENDAR\r\nVERSION:2\.0\r\n([^\r\n]+\r\n)+", answer.text)
    return dict(line.split(":", 1) for line in answer.text.replace("\r\n ", "").splitlines())


def test_buyer_finds_the_event_in_a_file_for_the_calendar(bo, buy):
    page = buy(seat={"section": "Stalls", "row": "3", "seat": "7"})

    assert f'href="{page}/ticket.ics"' in bo.get(page).text
    answer = bo.get(f"{page}/ticket.ics")

    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "inline; filename=ticket.ics"
    found, ident = entry(answer), page.rpartition("/")[2]
    assert (found["SUMMARY"], found["DTSTART"]) == ("Hamlet", "20360701T183000Z")
    assert (found["LOCATION"], found["UID"]) == (r"Globe\, London", f"order-{ident}@ticketing")
    assert found["DESCRIPTION"] == rf"Stalls\, Row 3\, Seat 7\nOrder number: {ident}\nhttp://localhost:8000{page}"
    assert "DTEND" not in found and "DURATION" not in found


def test_file_read_twice_is_one_entry_of_the_calendar(bo, buy):
    page = buy()

    assert bo.get(f"{page}/ticket.ics").text == bo.get(f"{page}/ticket.ics").text


def test_nobody_else_and_no_cache_has_the_file(ana, client, bo, buy):
    path = f"{buy()}/ticket.ics"

    assert [who.get(path).status_code for who in (ana, client)] == [403, 303]
    assert bo.get(path).headers["Cache-Control"] == "no-store"


def test_calendar_reads_the_title_as_the_seller_wrote_it(bo, buy):
    title = r"Größenwahn; or, the \n of \\ – " + "naïve " * 20 + "<b> & 🎭"

    answer = bo.get(f"{buy(title=title)}/ticket.ics")

    assert all(len(line) <= 75 for line in answer.data.split(b"\r\n"))
    assert re.sub(r"\\(.)", r"\1", entry(answer)["SUMMARY"]) == title


def test_no_title_of_an_earlier_version_adds_a_line_to_the_file(bo, buy, services):
    page = buy()
    services.orders[page.rpartition("/")[2]]["ticket"]["title"] = "Ham\rlet\r\nATTACH:x\n"

    assert entry(bo.get(f"{page}/ticket.ics"))["SUMMARY"] == r"Hamlet\nATTACH:x\n"


def test_file_is_in_the_language_of_the_buyer(bo, buy):
    path = f"{buy(seat={'section': '', 'row': '3', 'seat': '<7>'})}/ticket.ics"

    german = entry(bo.get(path, headers={"Accept-Language": "de"}))

    assert german["DESCRIPTION"].startswith(r"Reihe 3\, Platz <7>\nBestellnummer: ")


def test_what_has_no_date_or_is_no_longer_the_buyers_has_no_file(bo, buy, services):
    any_day, refunded, unpaid = buy(startsAt=None), buy(), buy()
    services.orders[refunded.rpartition("/")[2]].update(refunded_at="2026-11-25T08:00:00.000Z", refunded_cents=1999)
    services.orders[unpaid.rpartition("/")[2]]["status"] = "created"

    for page in (any_day, refunded, unpaid):
        assert "ticket.ics" not in bo.get(page).text
        assert bo.get(f"{page}/ticket.ics").status_code == 404
