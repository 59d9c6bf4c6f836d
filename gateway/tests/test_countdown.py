"""The countdown on the payment page, in Chromium with a simulated clock."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from gateway.tests.browsing import url, visit  # noqa: F401 - fixtures
from libs.clock import iso


@pytest.fixture
def order(bo, ticket):
    return bo.post("/api/orders", json={"ticketId": ticket["id"]}).json


@pytest.fixture
def page(visit, bo, order):  # noqa: F811
    """Bo's payment page on a computer whose clock is years behind."""
    page = visit(bo)
    page.clock.install(time="2020-01-01T00:00:00Z")
    page.goto(f"/orders/{order['id']}")
    page.get_by_role("timer").wait_for()
    return page


IS_BEHIND = """() => {
  const [bar, focus] = [document.querySelector(".paybar"), document.activeElement];
  const [one, other] = [bar.getBoundingClientRect(), focus.getBoundingClientRect()];
  return !bar.contains(focus) && other.top < one.bottom && other.bottom > one.top;
}"""


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
    with page.expect_event("load"):
        page.clock.fast_forward(16 * 60_000)
        page.clock.run_for(3_000)


def test_payment_in_progress_is_not_interrupted_when_the_time_is_over(page):
    page.evaluate("document.querySelector('[data-pay]').dataset.underWay = ''")
    page.evaluate("window.stale = true")

    page.clock.fast_forward(16 * 60_000)
    page.clock.run_for(5_000)

    assert page.evaluate("window.stale") is True
    assert left(page) == "The time to pay is over."


def test_more_time_is_offered_in_the_last_two_minutes_and_what_was_typed_stays(page, services, order):
    offer = page.get_by_role("button", name="Add 5 minutes")
    page.get_by_label("Visa ending in 4242").check(force=True)
    early = offer.is_visible()
    page.clock.fast_forward(13 * 60_000 + 5_000)
    announced_then = announced(page)
    soon = services.orders[order["id"]]["expires_at"] = iso(datetime.now(UTC) + timedelta(minutes=1, seconds=55))
    services._change_ticket(services.orders[order["id"]])
    page.clock.run_for(6_000)
    page.locator(f"[data-deadline='{soon}']").wait_for()  # a key pressed before would go to what is replaced

    offer.press("Enter")
    page.get_by_text("You have five more minutes to pay.").wait_for()

    assert (early, announced_then) == (False, "Two minutes left to pay. You can add five more.")
    assert re.fullmatch("6:.. left", left(page)) and not offer.is_visible()
    assert page.get_by_label("Visa ending in 4242").is_checked()
    assert page.evaluate("document.activeElement.className") == "paybar"  # not the top of the page


@pytest.mark.parametrize(("width", "height"), [(390, 500), (640, 400), (320, 256)])
def test_bar_that_offers_more_time_hides_nothing_that_has_the_focus_and_leaves_room(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.clock.fast_forward(13 * 60_000 + 5_000)
    page.locator("footer a").first.focus()

    behind = []
    for _ in range(8):
        page.keyboard.press("Shift+Tab")
        behind.append(page.evaluate(IS_BEHIND))

    assert page.get_by_role("button", name="Add 5 minutes").is_visible() and behind == [False] * 8
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    assert page.locator(".paybar").evaluate("(bar) => bar.getBoundingClientRect().bottom") < height / 2


def test_screen_readers_know_the_place_of_notices_before_there_is_one(page):
    notices = page.locator(".notices")

    assert notices.inner_text().strip() == "" and notices.bounding_box()["height"] == 0
    assert notices.evaluate("(place) => place.ariaLive === 'polite' && place.checkVisibility()")


def test_page_follows_what_another_tab_does_with_the_order(page, bo, services, order):
    later = iso(datetime.now(UTC) + timedelta(minutes=9))
    page.clock.run_for(6_000)  # it has looked at the ticket once
    services.orders[order["id"]]["expires_at"] = later
    services._change_ticket(services.orders[order["id"]])
    page.clock.run_for(6_000)
    page.locator(f"[data-deadline='{later}']").wait_for()

    bo.delete(f"/api/orders/{order['id']}")
    page.clock.run_for(6_000)

    page.get_by_role("heading", name="This order is cancelled").wait_for()


def test_page_goes_on_following_after_an_answer_was_lost_on_the_way(page, bo, order):
    page.route("**/api/tickets/*", lambda _: None, times=1)
    page.clock.run_for(6_000)

    bo.delete(f"/api/orders/{order['id']}")
    page.clock.run_for(60_000)

    page.get_by_role("heading", name="This order is cancelled").wait_for()


def test_page_that_nobody_sees_asks_nothing_and_asks_at_once_when_it_is_seen_again(page, services, order):
    hide = "() => { Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide % "true")
    services.end(services.orders[order["id"]], "buyer")
    before = len(services.calls)

    page.clock.run_for(60_000)
    asked = len(services.calls) - before
    page.evaluate(hide % "false")
    page.clock.run_for(100)

    page.get_by_role("heading", name="This order is cancelled").wait_for()
    assert asked == 0
