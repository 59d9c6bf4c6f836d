"""The page's part of the card form, in Chromium with the least of a Stripe.js; tests/e2e has all of it."""

import pytest

from gateway.tests.browsing import url, visit  # noqa: F401 - fixtures
from libs.rpc import RemoteError

STRIPE = """
window.Stripe = () => ({
  retrievePaymentIntent: async () => ({}),
  elements: () => ({ create: () => ({ on() {}, mount() {} }), submit: async () => ({}) }),
});
"""


@pytest.fixture
def page(visit, bo, ticket):  # noqa: F811
    """Bo's payment page, with the card form loaded."""
    page = visit(bo)
    page.route("**/v3/", lambda route: route.fulfill(body=STRIPE, content_type="text/javascript"))
    page.goto(f"/orders/{bo.post('/api/orders', json={'ticketId': ticket['id']}).json['id']}")
    open_card_form(page)
    return page


def open_card_form(page):
    page.get_by_label("Enter the details of a card").check()
    page.locator("[data-card-form] > div").wait_for(state="attached")


def press_pay(page):
    page.get_by_role("button", name="Pay $19.99").click()


def test_who_pays_after_the_session_ended_is_led_to_sign_in(page):
    page.context.clear_cookies()

    press_pay(page)

    page.wait_for_url("**/signin?next=/orders/*")


def test_who_pays_after_signing_in_again_in_another_tab_gets_the_page_anew(page, url, app):  # noqa: F811
    again = app.test_client()
    again.post("/api/users/signin", json={"email": "bo@example.com", "password": "bo and a word"})
    name = "ticketing-session"
    page.context.add_cookies([{"name": name, "value": again.get_cookie(name).value, "url": url}])

    with page.expect_event("load"):
        press_pay(page)


def test_test_cards_are_reached_with_the_keyboard_alone_and_left_again(page):
    page.locator("[data-test-cards] summary").press("Enter")
    page.keyboard.press("Tab")
    reached, shown = page.evaluate("document.activeElement.value"), page.locator("[data-card-form]").is_visible()

    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.locator("[data-card-form]").wait_for()

    assert (reached, shown) == ("tok_visa", False)
    assert page.get_by_label("Enter the details of a card").is_checked()


def test_card_form_appears_in_a_browser_of_2021(page):
    page.add_init_script("delete AbortSignal.timeout")
    page.reload()

    open_card_form(page)


def test_who_opens_the_page_of_an_order_whose_payment_stripe_refuses_reads_why(page, services):
    def refuse(caller, order_id):
        raise RemoteError("PaymentRefused", "This price is too low to be paid by card. You were not charged.")

    services.payments_create_intent = refuse
    page.reload()

    page.get_by_role("heading", name="This order cannot be paid").wait_for()
    assert page.get_by_text("This price is too low to be paid by card.").is_visible()
