"""The countdown on the payment page, in Chromium with a simulated clock."""

import re
import shutil
import threading

import pytest
from werkzeug.serving import make_server

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.integration]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def url(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser, url, bo, ticket):
    """Bo's payment page on a computer whose clock is years behind."""
    order = bo.post("/api/orders", json={"ticketId": ticket["id"]}).json
    context = browser.new_context(base_url=url)
    context.add_cookies([{"name": "ticketing-session", "value": bo.get_cookie("ticketing-session").value, "url": url}])
    page = context.new_page()
    page.clock.install(time="2020-01-01T00:00:00Z")
    page.goto(f"/orders/{order['id']}")
    page.get_by_role("timer").wait_for()
    yield page
    context.close()


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
