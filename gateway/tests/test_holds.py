"""The reminder of a ticket that one holds."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.clock import iso

BANNER = 'aria-label="Your reservation"'


@pytest.fixture
def order(bo, ticket, services):
    """Bo's unpaid order."""
    page = bo.submit(f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/buy").headers["Location"]
    return services.orders[page.rpartition("/")[2]]


@pytest.mark.parametrize("path", ["/", "/tickets", "/selling", "/account", "/about/help"])
def test_who_holds_a_ticket_is_reminded_on_every_page(bo, order, path):
    page = bo.get(path).text

    assert BANNER in page and f'href="/orders/{order["id"]}"' in page and "Hamlet, row 3" in page


def test_page_of_the_order_needs_no_reminder_of_it(bo, order):
    assert BANNER not in bo.get(f"/orders/{order['id']}").text


@pytest.mark.parametrize("status", ["complete", "cancelled", "awaiting_payment"])
def test_reminder_ends_with_the_hold_wherever_that_ended(bo, order, status):
    order["status"] = status

    assert BANNER not in bo.get("/").text


def test_reminder_ends_with_the_time_to_pay(bo, order):
    order["expires_at"] = iso(datetime.now(UTC) - timedelta(seconds=1))

    assert BANNER not in bo.get("/").text


def test_hold_from_another_device_is_known_after_signing_in(app, bo, order):
    phone = app.test_client()
    phone.submit("/signin", email="bo@example.com", password="bo and a word")

    assert BANNER in phone.get("/").text


def test_who_holds_nothing_costs_no_call(bo, services):
    bo.get("/my/tickets")
    services.calls.clear()

    bo.get("/about/help")

    assert [name for name, _ in services.calls if name.startswith("orders.")] == []


def test_page_is_shown_without_the_reminder_while_orders_does_not_answer(bo, order, services):
    services.unavailable = {"orders"}

    page = bo.get("/")

    assert page.status_code == 200 and BANNER not in page.text


def test_somebody_elses_hold_is_not_shown_after_signing_in_as_another(bo, ana, order):
    bo.submit("/", "/signout")
    bo.submit("/signin", email="ana@example.com", password="ana and a word")

    assert BANNER not in bo.get("/").text
