"""Stories of users of the pages, without JavaScript."""

import html
import re
from unittest.mock import Mock

import pytest

from gateway import checkout
from gateway.tests.fakes import MAXIMUM_UNPAID
from libs.rpc import RemoteError


@pytest.fixture
def order_page(bo, ticket):
    """The page of Bo's order for Ana's ticket."""
    return bo.submit(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/buy").headers["Location"]


def page_text(browser, path):
    """Return the text of a page without its tags."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", browser.get(path).text)))


def test_visitor_signs_up_and_sells_and_finds_the_ticket(client):
    welcome = client.submit("/signup", email="ana@example.com", password="correct horse")
    sold = client.submit("/sell", title="Hamlet, row 3", price="19.99", category="stage", venue="", startsAt="")

    assert (welcome.status_code, welcome.headers["Location"]) == (303, "/")
    assert sold.status_code == 303
    assert "Your ticket is on sale." in page_text(client, sold.headers["Location"])
    assert "Hamlet, row 3 No date given $19.99" in page_text(client, "/tickets?q=hamlet&category=stage")


def test_sign_in_leads_back_to_the_page_before(client, ana, ticket):
    refused = client.get("/my/tickets?after=0")
    signed_in = client.submit(
        refused.headers["Location"], "/signin", email="ana@example.com", password="ana and a word"
    )

    assert refused.status_code == 303
    assert signed_in.headers["Location"] == "/my/tickets?after=0"


def test_visitor_without_an_account_signs_up_on_the_way_to_a_ticket(client, ticket):
    path = f"/tickets/{ticket['id']}"
    link = re.search(r'No account yet\? <a href="([^"]+)"', client.get(path).text)[1]

    signed_up = client.submit(link, "/signup", email="cy@example.com", password="cy and a word", next=path)

    assert link == f"/signup?next={path}" and signed_up.headers["Location"] == path


def test_ticket_without_a_date_says_so_beside_its_venue_too(ana, client):
    ana.post("/api/tickets", json={"title": "Museum", "venue": "City Museum", "price": 5})

    assert "Museum No date given City Museum $5.00" in page_text(client, "/tickets")


def test_sign_in_never_leads_to_another_site(client, ana):
    signed_in = client.submit(
        "/signin?next=//evil.example", "/signin", email="ana@example.com", password="ana and a word"
    )

    assert signed_in.headers["Location"] == "/"


def test_wrong_password_keeps_the_email_and_not_the_password(client, ana):
    answer = client.submit("/signin", email="ana@example.com", password="wrong and typed")

    assert answer.status_code == 400
    assert "Wrong email or password." in answer.text
    assert 'value="ana@example.com"' in answer.text and "wrong and typed" not in answer.text


def test_signing_out_ends_the_session(ana):
    ana.submit("/", "/signout")

    assert "Sign in" in page_text(ana, "/")
    assert ana.get("/selling").status_code == 303


def test_invalid_listing_is_explained_at_its_fields_and_keeps_the_input(ana):
    answer = ana.submit("/sell", title=" ", price="19.999", category="stage", venue="Old Theatre", startsAt="")

    assert answer.status_code == 400
    assert "<title>Error: Sell a ticket" in answer.text
    assert 'href="#title"' in answer.text and 'aria-describedby="price-hint price-problem"' in answer.text
    assert 'value="19.999"' in answer.text and 'value="Old Theatre"' in answer.text


def test_all_that_is_wrong_with_a_listing_is_said_at_once(ana):
    page = ana.submit("/sell", title=" ", price="1.999", category="stage", venue="", startsAt="2020-01-01T10:00").text

    assert re.findall(r'<li><a href="#(\w+)">', page) == ["title", "startsAt", "price"]
    assert page.count('aria-invalid="true"') == 3


def test_page_with_a_refusal_says_so_in_its_title(bo, ticket, services):
    services.tickets[ticket["id"]]["status"] = "on_sale"
    shown = hidden(bo.get(f"/tickets/{ticket['id']}").text)
    services.tickets[ticket["id"]].update(status="reserved")

    refused = bo.post(f"/tickets/{ticket['id']}/buy", data=shown, follow_redirects=True)

    assert "<title>Error: Hamlet" in refused.text and "<title>Hamlet" in bo.get(f"/tickets/{ticket['id']}").text


def test_error_page_says_so_in_its_title(client):
    assert "<title>Error: Not found" in client.get("/nowhere").text


def test_invalid_price_is_explained_at_its_field_and_an_invalid_url_only_in_the_summary(client):
    shown = client.get("/tickets?min_price=cheap&status=bogus").text

    assert 'aria-describedby="min_price-problem"' in shown and 'href="#min_price"' in shown
    assert 'href="#status"' not in shown


def test_lowest_price_above_the_highest_is_explained_at_its_field(client):
    shown = client.get("/tickets?min_price=20&max_price=10").text

    assert 'aria-describedby="max_price-problem"' in shown and 'value="20"' in shown


def test_start_in_the_past_is_an_error_of_its_field_and_keeps_the_input(ana):
    ticket = {"title": "Hamlet", "price": "20", "category": "stage"}

    late = ana.submit("/sell", **ticket, startsAt="2026-01-01T12:00")
    ana.submit("/sell", **ticket, startsAt="2031-01-01T12:00:00Z")  # the form that the page itself suggests

    assert late.status_code == 400
    assert 'href="#startsAt"' in late.text and 'value="2026-01-01T12:00"' in late.text
    assert "1 Jan 2031, 12:00 UTC" in page_text(ana, "/selling")


def test_errors_of_the_service_are_shown_at_their_fields(ana, services):
    errors = [{"field": "price_cents", "message": "Too dear."}, {"field": "starts_at", "message": "Too late."}]
    services.tickets_create = Mock(side_effect=RemoteError("InvalidTicket", "Too dear.", {"errors": errors}))

    page = ana.submit("/sell", title="Hamlet", price="19.99")

    assert page.status_code == 400
    assert 'href="#price">Too dear.' in page.text and 'href="#startsAt">Too late.' in page.text


def test_search_and_filters_stay_in_the_url_of_the_next_page(ana, client):
    for number in range(30):
        ana.post("/api/tickets", json={"title": f"Seat {number}", "price": 10 + number})

    shown = client.get("/tickets?q=seat&sort=price_asc&min_price=5").text
    following = html.unescape(re.search(r'rel="next" href="([^"]+)"', shown).group(1))

    assert "q=seat" in following and "sort=price_asc" in following and "min_price=5" in following
    assert "Seat 29" in client.get(following).text


@pytest.mark.parametrize("query", ["endpoint=x", "_scheme=javascript", "_external=1", "_anchor=x", "self=x"])
def test_url_of_the_next_page_is_on_this_site_whatever_the_query(ana, client, query):
    for number in range(30):
        ana.post("/api/tickets", json={"title": f"Seat {number}", "price": 10})

    shown = client.get(f"/tickets?{query}").text
    link = client.get(f"/api/tickets?limit=1&{query}").headers["Link"]

    assert html.unescape(re.search(r'rel="next" href="([^"]+)"', shown).group(1)).startswith("/tickets?")
    assert link.startswith("</api/tickets?")


def test_search_without_a_match_offers_all_tickets(client):
    assert "or leave out a filter. See all tickets" in page_text(client, "/tickets?q=nothing")


def test_search_that_filters_leave_without_a_match_goes_on_without_them(client, ticket):
    shown = client.get("/tickets?q=hamlet&category=match&max_price=5").text

    assert 'href="/tickets?q=hamlet">Search without filters' in shown
    assert "Search without filters" not in client.get("/tickets?q=nothing").text


def test_search_that_found_nothing_yet_continues(client, services):
    services.tickets_list = lambda *_, after=None, **__: {"tickets": [], "next": None if after else "7"}

    first = client.get("/tickets?q=a+b").text

    assert "Nothing found yet, but there are more tickets to look through." in first
    assert 'href="/tickets?q=a+b&amp;after=7">Continue searching' in first
    assert "No more tickets on sale match this search. First page" in page_text(client, "/tickets?q=a+b&after=7")


def test_invalid_search_is_explained(client):
    answer = client.get("/tickets?min_price=cheap")

    assert answer.status_code == 400
    assert 'href="#min_price"' in answer.text and 'value="cheap"' in answer.text


def test_markup_in_a_title_is_escaped(ana, client):
    ticket = ana.post("/api/tickets", json={"title": "<script>alert(1)</script>", "price": 5}).json

    assert "<script>alert" not in client.get("/").text + client.get(f"/tickets/{ticket['id']}").text


def test_seller_edits_and_withdraws_an_own_ticket(ana, ticket):
    page = f"/tickets/{ticket['id']}"
    ana.submit(f"{page}/edit", title="Hamlet, row 4", price="21", category="stage", startsAt="2027-01-31T19:30")
    edited = page_text(ana, page)
    ana.submit(page, f"{page}/withdraw")

    assert "Hamlet, row 4" in edited and "$21.00" in edited and "31 Jan 2027, 19:30 UTC" in edited
    assert "It is withdrawn" in page_text(ana, page)


def hidden(shown):
    """Return the hidden fields of a page with one form of its own."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown))


HAMLET = {"title": "Hamlet, row 3", "price": "19.99", "category": "stage", "venue": "", "startsAt": ""}


def test_sell_form_sent_twice_lists_one_ticket(ana):
    form = hidden(ana.get("/sell").text) | HAMLET

    clicks = [ana.post("/sell", data=form).headers["Location"] for _ in range(2)]

    assert clicks[0] == clicks[1] and len(ana.get("/api/tickets/mine").json) == 1


def test_sell_form_changed_after_it_was_sent_lists_another_ticket_once_the_seller_confirms(ana):
    form = hidden(ana.get("/sell").text) | HAMLET
    ana.post("/sell", data=form)

    changed = ana.post("/sell", data=form | {"title": "Hamlet, row 4"})
    listed = len(ana.get("/api/tickets/mine").json)
    confirmed = ana.post("/sell", data=form | {"title": "Hamlet, row 4"} | hidden(changed.text))

    assert changed.status_code == 400 and "This form was sent before" in changed.text
    assert 'value="Hamlet, row 4"' in changed.text and listed == 1
    assert confirmed.status_code == 303 and len(ana.get("/api/tickets/mine").json) == 2


def test_edit_in_an_older_tab_does_not_restore_the_old_price_and_shows_both(ana, ticket):
    page, details = f"/tickets/{ticket['id']}/edit", HAMLET | {"category": "other"}
    older = hidden(ana.get(page).text)
    ana.submit(page, **details | {"price": "25"})

    late = ana.post(page, data=older | details | {"venue": "Globe"})
    stored = ana.get(f"/api/tickets/{ticket['id']}").json
    seen = ana.post(page, data=hidden(late.text) | details | {"venue": "Globe"})

    assert late.status_code == 409 and stored["price"] == 25
    assert 'value="19.99"' in late.text and 'value="Globe"' in late.text
    assert (
        "Price is <bdi>25.00</bdi> now." in late.text
        and "Venue is <bdi>empty</bdi> now." in late.text
        and "Title is" not in late.text
    )
    assert seen.status_code == 303 and ana.get(f"/api/tickets/{ticket['id']}").json["price"] == 19.99


def test_invalid_edit_in_an_older_tab_does_not_replace_what_the_seller_has_not_seen(ana, ticket):
    page = f"/tickets/{ticket['id']}/edit"
    older = hidden(ana.get(page).text)
    ana.submit(page, **HAMLET | {"price": "25"})

    invalid = ana.post(page, data=older | HAMLET | {"title": " "})
    late = ana.post(page, data=hidden(invalid.text) | HAMLET)

    assert (invalid.status_code, late.status_code) == (400, 409)


def test_edit_form_sent_twice_is_saved(ana, ticket):
    page = f"/tickets/{ticket['id']}/edit"
    form = hidden(ana.get(page).text) | HAMLET | {"price": "25"}

    assert [ana.post(page, data=form).status_code for _ in range(2)] == [303, 303]


def test_what_the_seller_typed_is_kept_when_a_buyer_was_quicker(ana, bo, ticket):
    page = f"/tickets/{ticket['id']}/edit"
    form = hidden(ana.get(page).text) | HAMLET | {"venue": "Globe"}
    bo.post("/api/orders", json={"ticketId": ticket["id"]})

    late = ana.post(page, data=form)

    assert late.status_code == 409 and 'value="Globe"' in late.text and "This ticket is reserved." in late.text


def test_seller_reads_why_a_reserved_ticket_cannot_be_edited(ana, ticket, order_page):
    answer = ana.get(f"/tickets/{ticket['id']}/edit")

    assert answer.status_code == 303
    assert "A buyer has reserved it" in page_text(ana, answer.headers["Location"])
    assert "You cannot change a ticket while a buyer has reserved it." in page_text(ana, "/selling")


def test_seller_sees_the_amount_owed_and_what_was_not_sold_in_time(ana, services, ticket):
    listed = services.tickets[ticket["id"]]
    services.tickets["t2"] = {**listed, "id": "t2", "status": "sold", "price_cents": 123456}
    services.tickets["t3"] = {**listed, "id": "t3", "starts_at": "2026-01-01T12:00:00.000Z"}

    page = page_text(ana, "/selling")

    assert "1 ticket sold: $1,234.56 owed to you." in page
    assert page.count("Not sold before it started") == 1


@pytest.mark.parametrize(("refunded_cents", "shown"), [(500, "$5.00 refunded"), (1999, "Refunded")])
def test_seller_sees_refunds_and_hands_over_what_was_partly_refunded(ana, services, ticket, refunded_cents, shown):
    services.tickets[ticket["id"]] |= {"status": "sold", "refunded_cents": refunded_cents}

    page = ana.get("/selling").text

    assert f'<span class="badge">{shown}</span>' in page
    assert ("Hand it over" in page) == (refunded_cents < 1999)


def test_only_the_seller_may_open_the_edit_page(bo, ticket):
    assert bo.get(f"/tickets/{ticket['id']}/edit").status_code == 403


def test_buyer_reserves_pays_and_gets_a_receipt(bo, ticket, order_page):
    form = page_text(bo, order_page)
    paid = bo.submit(order_page, f"{order_page}/pay", token="tok_visa")
    receipt = page_text(bo, order_page)

    assert "Reserved for you until" in form and "Pay $19.99" in form
    assert (paid.status_code, paid.headers["Location"]) == (303, order_page)
    assert "The ticket is yours" in receipt and "Visa ending in 4242" in receipt and "$19.99" in receipt
    assert order_page.rpartition("/")[2] in receipt
    assert 'href="/about/handover"' in bo.get(order_page).text
    assert "You bought this ticket." in page_text(bo, f"/tickets/{ticket['id']}")


def test_second_click_on_buy_leads_to_the_same_order(bo, ticket):
    shown = bo.get(f"/tickets/{ticket['id']}").text
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown))

    clicks = [bo.post(f"/tickets/{ticket['id']}/buy", data=form).headers["Location"] for _ in range(2)]

    assert clicks[0] == clicks[1]


@pytest.mark.parametrize("changed", [{}, {"version": 2, "price_cents": 2500}, {"withdrawn": True}])
def test_buying_in_another_tab_what_one_has_reserved_leads_to_the_order(bo, ticket, services, changed):
    buy = f"/tickets/{ticket['id']}/buy"
    tabs = [hidden(bo.get(f"/tickets/{ticket['id']}").text) for _ in range(2)]
    first = bo.post(buy, data=tabs[0])
    services.tickets[ticket["id"]].update(changed)

    assert bo.post(buy, data=tabs[1]).headers["Location"] == first.headers["Location"]


def test_a_buyer_names_what_the_seller_changed_last_and_no_hold_that_lapsed_since(bo, ticket, services):
    services.tickets[ticket["id"]].update(version=7, revision=5)

    assert hidden(bo.get(f"/tickets/{ticket['id']}").text)["version"] == "5"


def test_buyer_of_more_than_a_hundred_tickets_is_led_to_each_order(bo, ticket, order_page, services):
    first = services.orders[order_page.rpartition("/")[2]]
    newer = {
        f"o{number}": first | {"id": f"o{number}", "ticket": first["ticket"] | {"id": "t"}} for number in range(101)
    }
    services.orders |= newer

    assert f'href="{order_page}">Continue to payment' in bo.get(f"/tickets/{ticket['id']}").text


def test_declined_buyer_reads_why_and_tries_again_on_the_same_order(bo, order_page):
    bo.submit(order_page, f"{order_page}/pay", token="tok_chargeDeclinedInsufficientFunds")
    declined = page_text(bo, order_page)
    bo.submit(order_page, f"{order_page}/pay", token="tok_visa")

    assert "Error: Pay" in declined and "has insufficient funds" in declined and "2 tries left" in declined
    assert "The ticket is yours" in page_text(bo, order_page)


def test_third_decline_cancels_the_order_and_offers_to_reserve_again(bo, order_page):
    for _ in range(3):
        bo.submit(order_page, f"{order_page}/pay", token="tok_chargeDeclined")

    shown = page_text(bo, order_page)

    assert "The payment did not succeed" in shown and "You were not charged." in shown and "Reserve again" in shown


def test_slow_payment_is_being_confirmed_and_cannot_be_paid_again(bo, order_page, services, monkeypatch):
    services.completes_at_once = False
    monkeypatch.setattr(checkout, "OUTCOME_SECONDS", 0)
    bo.submit(order_page, f"{order_page}/pay", token="tok_visa")

    page = bo.get(order_page).text

    assert "We are confirming your payment" in page and 'http-equiv="refresh"' in page
    assert f'action="{order_page}/pay"' not in page and f'action="{order_page}/cancel"' not in page


def test_payment_whose_outcome_is_unknown_cannot_be_paid_again(bo, order_page, services):
    order = services.orders[order_page.rpartition("/")[2]]
    services.payments[order["id"]] = services._new_payment(order) | {"is_confirming": True}

    page = bo.get(order_page).text

    assert "We are confirming your payment" in page and f'action="{order_page}/pay"' not in page


def test_buyer_cancels_and_the_ticket_is_on_sale_again(bo, ticket, order_page):
    bo.submit(order_page, f"{order_page}/cancel")

    assert "You cancelled it." in page_text(bo, order_page)
    assert "Buy for $19.99" in page_text(bo, f"/tickets/{ticket['id']}")


def test_reservation_whose_time_is_over_offers_no_payment(bo, order_page, services):
    services.orders[order_page.rpartition("/")[2]]["expires_at"] = "2020-01-01T00:00:00.000Z"

    page = bo.get(order_page).text

    assert "The time to pay is over" in page and "/pay" not in page and 'class="steps"' not in page


def test_expired_order_says_so_and_leads_back_to_the_ticket(bo, ticket, order_page, services):
    services.end(services.orders[order_page.rpartition("/")[2]], "expired")

    page = bo.get(order_page).text

    assert "It was not paid in time" in page and f'href="/tickets/{ticket["id"]}"' in page


def test_started_show_is_not_offered_again(bo, order_page, services):
    order = services.orders[order_page.rpartition("/")[2]]
    services.end(order, "expired")
    offered = [bo.get(page).text.count("Reserve again") for page in (order_page, "/my/tickets")]

    services.tickets[order["ticket"]["id"]]["starts_at"] = "2020-01-01T00:00:00.000Z"

    assert offered == [1, 0]
    assert [bo.get(page).text.count("Reserve again") for page in (order_page, "/my/tickets")] == [0, 0]


def test_reserve_again_reserves_at_once(bo, ticket, order_page):
    bo.submit(order_page, f"{order_page}/cancel")

    again = bo.submit(order_page, f"/tickets/{ticket['id']}/buy")

    assert again.status_code == 303 and again.headers["Location"].startswith("/orders/")
    assert again.headers["Location"] != order_page and "Pay $19.99" in page_text(bo, again.headers["Location"])


def test_ticket_that_is_gone_is_not_offered_again(bo, ana, sign_up, ticket, order_page, services):
    bo.submit(order_page, f"{order_page}/cancel")
    cy = sign_up("cy")
    cy.post("/api/orders", json={"ticketId": ticket["id"]})
    taken = page_text(bo, order_page)
    services.end(next(o for o in services.orders.values() if o["status"] == "created"), "buyer")
    ana.delete(f"/api/tickets/{ticket['id']}")
    withdrawn = page_text(bo, order_page)
    services.unavailable.add("tickets")

    assert not any("Reserve again" in shown for shown in (taken, withdrawn, page_text(bo, order_page)))
    assert "All tickets for this event" in taken and "See other tickets" in withdrawn


def test_buyer_of_a_reserved_ticket_is_led_to_the_payment_and_others_wait(bo, sign_up, ticket, order_page):
    page = f"/tickets/{ticket['id']}"

    assert "Continue to payment" in page_text(bo, page)
    assert "Another buyer has reserved this ticket." in page_text(sign_up("cy"), page)


def test_buyer_who_is_too_late_reads_so_on_the_ticket_page(sign_up, bo, ticket):
    cy = sign_up("cy")
    shown = cy.get(f"/tickets/{ticket['id']}").text
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown))
    bo.post("/api/orders", json={"ticketId": ticket["id"]})

    answer = cy.post(f"/tickets/{ticket['id']}/buy", data=form)

    assert answer.status_code == 303
    assert "This ticket is reserved." in page_text(cy, answer.headers["Location"])


def test_buyer_with_too_many_unpaid_reservations_reads_so_on_the_ticket_page(ana, bo, ticket):
    for _ in range(MAXIMUM_UNPAID):
        other = ana.post("/api/tickets", json={"title": "Macbeth", "price": 19.99}).json
        bo.post("/api/orders", json={"ticketId": other["id"]})

    page = f"/tickets/{ticket['id']}"
    answer, by_api = bo.submit(page, f"{page}/buy"), bo.post("/api/orders", json={"ticketId": ticket["id"]})

    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    assert "You have 10 unpaid reservations." in page_text(bo, page)
    assert (by_api.status_code, by_api.headers["Retry-After"]) == (429, "900")


def test_buyer_who_saw_an_older_price_is_shown_the_new_one(ana, bo, ticket):
    shown = bo.get(f"/tickets/{ticket['id']}").text
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', shown))
    ana.put(f"/api/tickets/{ticket['id']}", json={"title": "Hamlet", "price": 25})

    answer = bo.post(f"/tickets/{ticket['id']}/buy", data=form)

    seen = page_text(bo, answer.headers["Location"])
    assert "The price has changed." in seen and "Buy for $25.00" in seen


def test_bought_tickets_are_listed_with_what_to_do(bo, ticket, order_page):
    waiting = page_text(bo, "/my/tickets")
    bo.submit(order_page, f"{order_page}/pay", token="tok_visa")
    bought = page_text(bo, "/my/tickets")

    assert "Not paid yet" in waiting and "Continue to payment" in waiting
    assert "Hamlet, row 3 No date given $19.99 Paid" in bought and "Ticket and receipt" in bought


def test_orders_that_came_to_nothing_are_listed_apart(bo, order_page):
    bo.submit(order_page, f"{order_page}/cancel")

    assert "Nothing here yet" in page_text(bo, "/my/tickets")
    assert "Hamlet, row 3 No date given $19.99 Cancelled" in page_text(bo, "/my/tickets?cancelled=1")


def test_order_whose_time_to_pay_is_over_is_not_listed_as_one_to_pay(bo, order_page, services):
    services.orders[order_page.rpartition("/")[2]]["expires_at"] = "2020-01-01T00:00:00.000Z"

    listed = page_text(bo, "/my/tickets")

    assert "The time to pay is over What happened" in listed and "Continue to payment" not in listed


def test_list_of_orders_is_found_under_its_earlier_address(bo):
    assert bo.get("/my/orders?after=1").headers["Location"] == "/my/tickets?after=1"


def test_seller_looks_at_what_is_sold_alone(ana, services, ticket):
    services.tickets["t2"] = {**services.tickets[ticket["id"]], "id": "t2", "status": "sold", "title": "Macbeth"}

    sold = page_text(ana, "/selling?status=sold")

    assert "Macbeth" in sold and "Hamlet" not in sold


def test_sold_out_filter_says_that_nothing_is_there(ana, ticket):
    assert "You have no tickets here." in page_text(ana, "/selling?status=sold")


def test_ones_own_tickets_fill_a_few_screens_of_a_phone_and_no_more(ana):
    for number in range(13):
        ana.post("/api/tickets", json={"title": f"Hamlet {number}", "price": 19.99})
    page = ana.get("/selling").text

    assert page.count('<li class="row pictured">') == 12 and "Next page" in page


def test_somebody_elses_order_is_not_shown(ana, order_page):
    assert ana.get(order_page).status_code == 403


def test_started_show_is_not_for_sale(ana, bo, ticket, services):
    services.tickets[ticket["id"]]["starts_at"] = "2020-01-01T00:00:00.000Z"

    shown = bo.get(f"/tickets/{ticket['id']}").text
    assert "The event has already started" in shown
    assert 'class="badge started">Started' in shown and "on_sale" not in shown
    assert 'class="badge started">Started' in bo.get("/tickets?status=all").text
    assert ana.get(f"/tickets/{ticket['id']}/edit").status_code == 200  # to postpone it


def test_title_of_what_has_started_may_still_be_corrected(ana, ticket, services):
    services.tickets[ticket["id"]]["starts_at"] = "2020-01-01T00:00:00.000Z"
    page, corrected = f"/tickets/{ticket['id']}/edit", {"title": "Macbeth", "price": "20", "category": "other"}

    kept = ana.submit(page, **corrected, startsAt="2020-01-01T00:00")
    moved = ana.submit(page, **corrected, startsAt="2020-01-01T00:01")

    assert (kept.status_code, moved.status_code) == (303, 400)


@pytest.mark.parametrize("start", ["2031-01-31T19:30:15.250Z", "2031-01-31T19:30:15.000Z", "2031-01-31T19:30:00.000Z"])
def test_edit_of_the_title_alone_leaves_the_start_to_the_millisecond(ana, ticket, start):
    path = f"/api/tickets/{ticket['id']}"
    ana.put(path, json={"title": "Hamlet", "price": 20, "startsAt": start})
    typed = re.search(r'name="startsAt"[^>]*value="([^"]*)"', ana.get(f"/tickets/{ticket['id']}/edit").text).group(1)

    ana.submit(f"/tickets/{ticket['id']}/edit", title="Macbeth", price="20", category="other", startsAt=typed)

    assert [ana.get(path).json[name] for name in ("title", "startsAt")] == ["Macbeth", start]
