"""Paying with the card form in Chromium: Stripe's script is the simulated one, the page is the one for real cards."""

import re

import pytest
import requests
from playwright.sync_api import expect

from tests.e2e import invariants
from tests.e2e.browsing import pay, picture

SUCCEEDS, NO_MONEY, DECLINED = "4242 4242 4242 4242", "4000 0000 0000 9995", "4000 0000 0000 0002"
ASKS_THE_BANK = "4000 0000 0000 3220"
FORM = "[data-card-form] iframe"

pytestmark = pytest.mark.usefixtures("at_rest_in_the_end")

KEEP_SHIFTS = """window.shifts = [];
new PerformanceObserver((list) => list.getEntries().forEach((each) => window.shifts.push(each.value)))
  .observe({ type: "layout-shift", buffered: true });"""


@pytest.fixture
def order(person):
    """Bo, and the path of his unpaid order."""
    bo = person("bo")
    return bo, f"/orders/{bo.reserve(person('ana').list_ticket())}"


@pytest.fixture
def bo(signed_in, order):
    """Bo's browser on the payment page of his order."""
    person, path = order
    page = signed_in(person)
    page.goto(path)
    return page


@pytest.fixture
def end_faults(system):
    """Return a function that ends the faults in the fake Stripe, and so answers the requests that were held up."""
    return lambda: requests.delete(f"{system.stripe_url}/_control/faults", timeout=5).raise_for_status()


@pytest.fixture
def fault(system, end_faults):
    """Inject a fault into the fake Stripe; it ends with the test."""
    yield lambda **what: requests.post(f"{system.stripe_url}/_control/faults", json=what, timeout=5).raise_for_status()
    end_faults()


def enter(page, number):
    form = page.frame_locator(FORM)
    form.get_by_label("Card number").fill(number)
    form.get_by_label("Expiration date").fill("12 / 34")
    form.get_by_label("Security code").fill("123")


def pay_with(page, number):
    enter(page, number)
    page.get_by_role("button", name="Pay $19.99").click()


def answer_the_bank(page, answer):
    page.frame_locator("iframe[title^='3-D Secure']").get_by_role("button", name=answer).click()


def reload_and_wait(page, seconds):
    """Reload the page and let its clock run ahead."""
    page.clock.install()
    page.reload()
    page.clock.fast_forward(seconds * 1000)


def expect_receipt(page, card="Visa ending in 4242"):
    expect(page.get_by_role("heading", name="The ticket is yours")).to_be_visible(timeout=20_000)
    expect(page.get_by_text(card)).to_be_visible()
    expect(page).to_have_url(re.compile("/orders/[0-9a-f]{24}$"))


def charges(system, page):
    """Return the charges that succeeded for the order on the page."""
    order_id = re.search("/orders/([0-9a-f]{24})", page.url).group(1)
    intents = invariants.ledger(system, order_id)
    return [charge for intent in intents for charge in intent["charges"] if charge["status"] == "succeeded"]


def test_card_number_pays_the_order(bo, system):
    pay_with(bo, SUCCEEDS)

    expect_receipt(bo)
    picture(bo, "card-receipt")
    assert len(charges(system, bo)) == 1


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_under_the_pointer_while_the_card_form_is_loaded(signed_in, order, width):
    person, path = order
    page = signed_in(person)
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(KEEP_SHIFTS)

    page.goto(path)
    expect(page.frame_locator(FORM).get_by_label("Card number")).to_be_visible()
    expect(page.locator("[data-card-form] .hint")).to_have_count(0)

    assert sum(page.evaluate("window.shifts")) < 0.01


def test_decline_keeps_the_card_and_another_one_pays(bo):
    pay_with(bo, NO_MONEY)
    expect(bo.get_by_role("alert")).to_contain_text("insufficient funds. Try another card. You were not charged.")
    expect(bo.frame_locator(FORM).get_by_label("Card number")).to_have_value(NO_MONEY)
    expect(bo.get_by_role("button", name="Pay $19.99")).to_be_enabled()

    pay_with(bo, "5555 5555 5555 4444")

    expect_receipt(bo, "Mastercard ending in 4444")


def test_mistyped_card_is_reported_and_costs_no_try(bo):
    pay_with(bo, "4242 4242 4242 4241")
    expect(bo.get_by_role("alert")).to_contain_text("card number is invalid")

    pay_with(bo, DECLINED)

    expect(bo.get_by_role("alert")).to_contain_text("You have 2 tries left.")


def test_third_decline_ends_the_order_and_offers_to_reserve_again(bo):
    for left in ("2 tries left", "1 try left"):
        pay_with(bo, DECLINED)
        expect(bo.get_by_role("alert")).to_contain_text(left)

    pay_with(bo, DECLINED)

    expect(bo.get_by_role("heading", name="This order is cancelled")).to_be_visible()
    expect(bo.get_by_text("You were not charged.")).to_be_visible()
    expect(bo.get_by_role("button", name="Reserve again")).to_be_visible()


def test_buyer_confirms_at_the_bank(bo):
    pay_with(bo, ASKS_THE_BANK)
    answer_the_bank(bo, "Complete")

    expect_receipt(bo, "Visa ending in 3220")


def test_buyer_who_left_the_banks_page_goes_on_with_it(bo, system):
    pay_with(bo, ASKS_THE_BANK)
    expect(bo.locator("iframe[title^='3-D Secure']")).to_be_visible()

    reload_and_wait(bo, 11)
    bo.get_by_role("link", name="Confirm it with your bank").click(timeout=20_000)
    answer_the_bank(bo, "Complete")

    expect_receipt(bo, "Visa ending in 3220")
    assert len(charges(system, bo)) == 1


def test_buyer_who_left_the_banks_page_pays_with_another_card(bo, system):
    pay_with(bo, ASKS_THE_BANK)
    expect(bo.locator("iframe[title^='3-D Secure']")).to_be_visible()
    reload_and_wait(bo, 11)
    expect(bo.get_by_text("Your bank has not confirmed this payment yet.")).to_be_visible(timeout=20_000)

    pay_with(bo, SUCCEEDS)

    expect_receipt(bo)
    assert len(charges(system, bo)) == 1


def test_buyer_who_fails_at_the_bank_pays_with_another_card(bo):
    pay_with(bo, ASKS_THE_BANK)
    answer_the_bank(bo, "Fail")
    expect(bo.get_by_role("alert")).to_contain_text("Your bank did not confirm it is you")

    pay_with(bo, SUCCEEDS)

    expect_receipt(bo)


def test_test_card_that_asks_the_bank_is_confirmed_on_the_page(bo):
    pay(bo, "3220")
    answer_the_bank(bo, "Complete")

    expect_receipt(bo, "Visa ending in 3220")


def test_test_card_that_failed_at_the_bank_leaves_the_other_ones(bo):
    pay(bo, "3220")
    answer_the_bank(bo, "Fail")
    expect(bo.get_by_role("alert")).to_contain_text("Your bank did not confirm it is you")

    pay(bo, "Visa ending in 4242")

    expect_receipt(bo)


def test_test_card_that_asks_the_bank_needs_javascript_and_says_so(signed_in, order):
    person, path = order
    bo = signed_in(person, java_script_enabled=False)
    bo.goto(path)

    pay(bo, "3220")

    expect(bo.locator("noscript .error")).to_be_visible()  # playwright finds no text within noscript
    pay(bo, "Visa ending in 4242")
    expect_receipt(bo)


def test_double_click_on_pay_charges_once(bo, system):
    enter(bo, SUCCEEDS)

    bo.get_by_role("button", name="Pay $19.99").dblclick()

    expect_receipt(bo)
    assert len(charges(system, bo)) == 1


def test_pay_button_is_disabled_and_says_so_while_working(bo, system, fault, end_faults):
    fault(kind="slow", path="*/confirm", seconds=60)
    button = bo.get_by_role("button", name=re.compile(r"Pay (\$19.99)|Paying…"))
    expect(button).to_be_enabled()

    pay_with(bo, SUCCEEDS)

    expect(button).to_be_disabled()
    expect(button).to_have_attribute("aria-busy", "true")
    expect(button).to_have_text("Paying…")
    button.click(force=True)
    end_faults()
    expect_receipt(bo)
    assert len(charges(system, bo)) == 1


def test_confirming_and_receipt_can_be_reloaded(bo, system, fault, end_faults):
    fault(kind="slow", path="*/capture", seconds=60)
    pay_with(bo, SUCCEEDS)
    expect(bo.get_by_role("heading", name="We are confirming your payment")).to_be_visible(timeout=15_000)
    picture(bo, "card-confirming")

    end_faults()
    bo.reload()
    expect_receipt(bo)
    bo.reload()

    expect_receipt(bo)
    assert len(charges(system, bo)) == 1


def test_lost_connection_to_stripe_shows_confirming_and_never_not_charged(bo):
    bo.context.route(re.compile(r"/confirm"), lambda route: route.abort())

    pay_with(bo, SUCCEEDS)

    expect(bo.get_by_role("heading", name=re.compile("confirming your payment", re.I))).to_be_visible()
    expect(bo.get_by_text("not charged")).to_have_count(0)


def test_lost_answer_of_stripe_shows_confirming_and_then_the_receipt(bo, system, fault):
    fault(kind="lost_reply", path="*/confirm")

    pay_with(bo, SUCCEEDS)

    expect_receipt(bo)
    assert len(charges(system, bo)) == 1


def test_going_back_after_paying_offers_no_second_payment(signed_in, order, system):
    person, path = order
    bo = signed_in(person)
    bo.goto(f"/tickets/{person.order(path.rsplit('/', 1)[1])['ticket']['id']}")
    bo.goto(path)
    pay_with(bo, SUCCEEDS)
    expect_receipt(bo)

    bo.go_back()
    expect(bo.get_by_text("You bought this ticket.")).to_be_visible()
    bo.go_forward()

    expect_receipt(bo)
    assert len(charges(system, bo)) == 1


def test_order_paid_in_another_tab_is_not_paid_again(bo, system):
    other = bo.context.new_page()
    other.goto(bo.url)
    enter(other, SUCCEEDS)
    pay_with(bo, SUCCEEDS)
    expect_receipt(bo)

    other.get_by_role("button", name="Pay $19.99").click()

    expect_receipt(other)
    assert len(charges(system, bo)) == 1


def test_time_runs_on_the_clock_of_the_server(signed_in, order):
    person, path = order
    bo = signed_in(person)
    bo.clock.install(time="2020-01-01T00:00:00Z")
    bo.goto(path)

    expect(bo.get_by_role("timer")).to_have_text(re.compile("1[45]:.. left"))
