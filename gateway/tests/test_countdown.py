"""The countdown on the payment page, in Chromium with a simulated clock."""

import re

import pytest

from gateway.tests.browsing import url, visit  # noqa: F401 - fixtures


@pytest.fixture
def page(visit, bo, ticket):  # noqa: F811
    """Bo's payment page on a computer whose clock is years behind."""
    order = bo.post("/api/orders", json={"ticketId": ticket["id"]}).json
    page = visit(bo)
    page.clock.install(time="2020-01-01T00:00:00Z")
    page.goto(f"/orders/{order['id']}")
    page.get_by_role("timer").wait_for()
    return page


def left(page):
    return page.get_by_role("timer").inner_text()


def announced(page):
    return page.locator(".deadline [aria-live=polite]").text_content()


def classes(page):
    return set(page.locator(".deadline").get_attribute("class").split()) - {"deadline"}


def test_time_left_is_that_of_the_server(page):
    assert re.fullmatch("1[45]:.. left", left(page))
    assert (announced(page), classes(page)) == ("", set())


def test_five_minutes_and_one_minute_are_shown_and_announced(page):
    page.clock.run_for(10 * 60_000 + 2_000)
    five = (announced(page), classes(page))
    page.clock.run_for(4 * 60_000)

    assert five == ("Five minutes left to pay.", {"soon"})
    assert (announced(page), classes(page)) == ("One minute left to pay.", {"soon", "now"})


def test_milestone_is_announced_although_the_page_was_suspended(page):
    page.clock.fast_forward(12 * 60_000)

    assert announced(page) == "Five minutes left to pay."
    assert re.fullmatch("[23]:.. left", left(page))


def test_page_reloads_when_the_time_is_over(page):
    page.evaluate("window.stale = true")

    page.clock.fast_forward(16 * 60_000)
    page.clock.run_for(3_000)

    page.wait_for_function("!window.stale", timeout=5000)


def test_payment_in_progress_is_not_interrupted_when_the_time_is_over(page):
    page.evaluate("document.querySelector('[data-pay]').dataset.underWay = ''")
    page.evaluate("window.stale = true")

    page.clock.fast_forward(16 * 60_000)
    page.clock.run_for(5_000)

    assert page.evaluate("window.stale") is True
    assert left(page) == "The time to pay is over."
