"""An event's page, and lists that show an event once."""

import json
import re

import pytest

from gateway.tests.fakes import JOINED
from gateway.tests.test_sharing import described

HAMLET = {"title": "Hamlet", "venue": "Globe", "city": "London", "category": "stage"}
HAMLET |= {"startsAt": "2031-06-01T19:30:00+01:00", "timeZone": "Europe/London"}


def listed(ana, price, **details):
    return ana.post("/api/tickets", json=HAMLET | {"price": price} | details).json


@pytest.fixture
def three(ana):
    """Three tickets for one evening."""
    seats = ({"section": "Stalls", "row": "3", "seat": "14"}, {"row": "1"}, {})
    return [listed(ana, price, seat=seat) for price, seat in zip((40, 35, 50), seats, strict=True)]


def text(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def path_of(ticket):
    return f"/events/{ticket['eventId']}"


def test_a_list_shows_an_event_once_with_its_number_of_tickets_and_the_lowest_price(client, ana, three):
    other = listed(ana, 20, title="Macbeth", seat={"row": "7"})

    for path in ("/tickets", "/"):
        page = client.get(path).text
        assert page.count(f'href="{path_of(three[0])}"') >= 1
        assert "from $35.00 3 tickets" in text(page)
        assert f'href="/tickets/{other["id"]}"' in page and "Row 7" in text(page)
        assert not any(f"/tickets/{ticket['id']}" in page for ticket in three)


def test_the_api_lists_tickets_as_before(client, three):
    assert [ticket["id"] for ticket in client.get("/api/tickets").json] == [ticket["id"] for ticket in three[::-1]]


def test_the_api_shows_an_event_and_its_tickets_cheapest_first(client, bo, three):
    bo.post("/api/orders", json={"ticketId": three[2]["id"]})
    path = f"/api{path_of(three[0])}"
    about = {name: HAMLET[name] for name in ("title", "venue", "city", "category", "timeZone")}

    event, first = client.get(path), client.get(f"{path}/tickets?limit=1")
    following = client.get(re.search("<(.*)>", first.headers["Link"])[1])

    counts = {"onSale": 2, "reserved": 1, "sold": 0, "lowestPrice": 35, "currency": "usd"}
    assert event.json == {"id": three[0]["eventId"], "startsAt": "2031-06-01T18:30:00.000Z", **about, **counts}
    assert [page.json[0]["id"] for page in (first, following)] == [three[1]["id"], three[0]["id"]]
    assert client.get("/api/events/none-0123456789abcdef").status_code == 404


def test_the_api_shows_of_a_seller_what_buyers_may_know(client, ana, bo, services, three):
    path = f"/api/sellers/{three[0]['userId']}"
    ana.submit("/account/name", name="Ana")
    order = bo.post("/api/orders", json={"ticketId": three[0]["id"]}).json
    bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})

    known = {"id": three[0]["userId"], "name": "Ana", "memberSince": JOINED, "sold": 1}
    assert client.get(path).json == known
    services.unavailable.add("auth")
    assert client.get(path).json == known and client.get(f"/api/sellers/{'0' * 24}").status_code == 503
    services.unavailable.clear()
    assert client.get(f"/api/sellers/{'0' * 24}").status_code == 404


def test_the_api_says_nothing_of_a_user_who_has_never_listed_a_ticket(client, ana, bo, services):
    (found,) = [user for user in services.users.values() if user["email"] == "bo@example.com"]

    assert client.get(f"/api/sellers/{found['id']}").status_code == 404


def test_an_events_page_offers_its_tickets_cheapest_first_and_counts_those_that_others_have(client, bo, ana, three):
    listed(ana, 20, title="Macbeth")
    bo.post("/api/orders", json={"ticketId": three[2]["id"]})

    page = client.get(path_of(three[0])).text

    assert re.findall(r'<h3><a href="/tickets/(\w+)"', page) == [three[1]["id"], three[0]["id"]]
    shown = text(page)
    assert "2 tickets on sale 1 reserved" in shown
    assert "Globe , London" in shown and "Sun, 1 Jun 2031, 19:30" in shown
    assert "Stalls , Row 3 , Seat 14" in shown
    assert path_of(three[0]) in client.get(f"/tickets/{three[2]['id']}").text


def test_an_event_without_a_ticket_on_sale_stays_and_is_not_indexed(client, bo, three):
    for ticket in three:
        bo.post("/api/orders", json={"ticketId": ticket["id"]})

    answer = client.get(path_of(three[0]))

    assert answer.status_code == 200 and "No ticket is on sale now" in answer.text
    assert '<meta name="robots" content="noindex, follow">' in answer.text
    assert "/events/" not in client.get("/sitemap/events.xml").text


def test_an_event_whose_only_ticket_was_withdrawn_is_not_called_sold_out(client, ana, three):
    for ticket in three:
        ana.submit(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/withdraw")

    shown = text(client.get(path_of(three[0])).text)

    assert "No ticket is on sale now" in shown and "Everything is sold" not in shown
    assert "If somebody cannot go, their ticket appears here." in shown


def test_a_ticket_that_is_edited_leaves_its_event(client, ana, three):
    before = path_of(three[0])
    for ticket in three:
        ana.put(f"/api/tickets/{ticket['id']}", json=HAMLET | {"title": "Macbeth", "price": 40})

    assert client.get(before).status_code == 404
    assert "3 tickets on sale" in text(client.get(path_of(ana.get(f"/api/tickets/{three[0]['id']}").json)).text)


@pytest.mark.parametrize(
    "ident", ["hamlet", "x" * 500, "hamlet-0123456789abcdef", "../tickets", "Hamlet-0123456789abcdef"]
)
def test_what_is_no_event_is_not_found(client, ident):
    assert client.get(f"/events/{ident}").status_code == 404


def test_an_event_is_described_with_the_venues_offset_its_place_and_what_its_tickets_cost(client, three):
    page = client.get(path_of(three[0])).text
    data, tags = described(page)

    assert (data["@type"], data["startDate"]) == ("TheaterEvent", "2031-06-01T19:30:00+01:00")
    assert data["location"] == {
        "@type": "Place", "name": "Globe", "address": {"@type": "PostalAddress", "addressLocality": "London"},
    }  # fmt: skip
    offers = {name: data["offers"][name] for name in ("@type", "lowPrice", "priceCurrency", "offerCount")}
    assert offers == {"@type": "AggregateOffer", "lowPrice": "35.00", "priceCurrency": "USD", "offerCount": 3}
    assert "3 tickets from $35.00" in tags["description"]
    assert f"<loc>http://localhost:8000{path_of(three[0])}</loc>" in client.get("/sitemap/events.xml").text
    assert "http://localhost:8000/sitemap/events.xml" in client.get("/sitemap.xml").text
    assert json.dumps(data)


def test_an_order_says_event_date_venue_and_seat(bo, three):
    order = bo.post("/api/orders", json={"ticketId": three[0]["id"]}).json
    order_page = f"/orders/{order['id']}"

    assert order["ticket"]["seat"] == {"section": "Stalls", "row": "3", "seat": "14"}
    assert (order["ticket"]["timeZone"], order["ticket"]["city"]) == ("Europe/London", "London")
    for path, seat in (("/my/tickets", "Stalls , Row 3 , Seat 14"), (order_page, "Section Stalls Row 3 Seat 14")):
        shown = text(bo.get(path).text)
        assert "19:30" in shown and seat in shown


def test_a_ticket_of_an_earlier_version_is_shown_and_bought_as_before(client, bo, ticket, services):
    for name in ("seat", "city", "time_zone", "event_id"):
        services.tickets[ticket["id"]][name] = None

    page = client.get(f"/tickets/{ticket['id']}")

    assert page.status_code == 200 and "/events/" not in page.text and "General admission" not in page.text
    assert client.get("/api/tickets").json[0]["eventId"] is None


def test_a_seat_is_entered_and_without_one_it_is_general_admission(ana):
    form = {"title": "Hamlet", "price": "20", "category": "stage"}

    seated = ana.submit("/sell", **form, section="Stalls", seat="14").headers["Location"]
    standing = ana.submit("/sell", **form).headers["Location"]

    assert ana.get(f"/api{seated}").json["seat"] == {"section": "Stalls", "row": None, "seat": "14"}
    assert "General admission" in ana.get(standing).text and "General admission" not in ana.get(seated).text


# who sells


def test_a_buyer_learns_the_sellers_name_since_when_and_how_much_was_sold_and_never_the_email(client, ana, bo, three):
    sold = bo.post("/api/orders", json={"ticketId": three[2]["id"]}).json
    bo.post("/api/payments", json={"orderId": sold["id"], "token": "tok_visa"})
    ana.submit("/account/name", name="Ana from Leeds")

    ticket, event = (client.get(path).text for path in (f"/tickets/{three[0]['id']}", path_of(three[0])))

    assert "Ana from Leeds Member since January 2026. 1 ticket sold." in text(ticket)
    assert text(event).count("Ana from Leeds · 1 ticket sold") == 2
    for page in (ticket, event):
        assert "Not as described?" in page and "/about/guarantee" in page
        assert "ana@example" not in page


def test_a_new_seller_is_not_said_to_have_sold_nothing(client, three):
    for path in (f"/tickets/{three[0]['id']}", path_of(three[0])):
        shown = text(client.get(path).text)
        assert "A member of Ticketing" in shown
        assert not re.search("No ticket sold|0 tickets sold|January 2026. [.]", shown)


def test_who_comes_too_late_for_a_ticket_is_offered_the_events_others_and_not_told_how_to_buy_it(client, bo, three):
    late = f"/tickets/{three[2]['id']}"
    order = bo.post("/api/orders", json={"ticketId": three[2]["id"]}).json
    link = f'class="button quiet wide-button" href="{path_of(three[0])}">All tickets for this event'

    assert link in client.get(late).text and link not in bo.get(late).text
    bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})
    sold = client.get(late).text
    assert link in sold and "What you get" not in sold
    assert "all in, no fees" not in sold and "you get the money back" not in sold
    assert "What you get" in client.get(f"/tickets/{three[0]['id']}").text


def test_sellers_are_not_told_how_to_buy_their_own_ticket(client, ana, three):
    path = f"/tickets/{three[0]['id']}"

    assert "How you buy it" in client.get(path).text and "How you buy it" not in ana.get(path).text


def test_a_seller_without_a_name_is_a_member_and_one_who_changes_it_sees_that_at_once(client, ana, three):
    path = f"/tickets/{three[0]['id']}"
    before = client.get(path).text, ana.get(path).text
    ana.submit("/account/name", name="Ana")

    assert all("A member of Ticketing" in page for page in before)
    assert "<bdi>Ana</bdi>" in ana.get(path).text and 'value="Ana"' in ana.get("/account/name").text
    ana.submit("/account/name", name="")
    assert "A member of Ticketing" in ana.get(path).text


def test_a_name_chosen_before_the_first_ticket_is_still_there(client, bo, services):
    bo.submit("/account/name", name="Bo")

    assert 'value="Bo"' in bo.get("/account/name").text and "<bdi>Bo</bdi>" in bo.get("/account").text
    (ident,) = (user["id"] for user in services.users.values() if user.get("name") == "Bo")
    assert client.get(f"/api/sellers/{ident}").status_code == 404


def test_a_name_that_is_refused_is_asked_for_again(ana):
    answer = ana.submit("/account/name", name="ana@example.org")

    assert answer.status_code == 400 and 'value="ana@example.org"' in answer.text and "Error: " in answer.text


def test_a_ticket_is_shown_while_nothing_can_be_learned_of_its_seller(client, services, three):
    services.unavailable.add("auth")

    page = client.get(f"/tickets/{three[0]['id']}")

    assert page.status_code == 200 and "A member of Ticketing" in page.text and "Member since" not in page.text


def test_not_every_page_waits_for_an_answer_about_sellers_while_there_is_none(client, services, three):
    services.unavailable.add("auth")
    services.calls.clear()

    pages = [client.get(f"/tickets/{each['id']}") for each in three]

    assert {page.status_code for page in pages} == {200}
    assert [name for name, _ in services.calls].count("auth.profiles") == 1


def test_a_seller_reads_what_is_owed_and_how_it_is_paid(ana, bo, ticket):
    order = bo.post("/api/orders", json={"ticketId": ticket["id"]}).json
    bo.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"})

    page = ana.get("/selling").text
    assert "/about/owed" in page and "Hand it over" in page
    assert "How sellers are paid" in ana.get("/about/owed").text
