"""The story as people click through it, in Chromium."""

import pytest
from playwright.sync_api import expect

from dev.testing import wait_for
from tests.e2e.browsing import a_title, buy, pay, picture, sell, sign_up


@pytest.mark.parametrize("javascript", [True, False])
def test_a_ticket_is_sold_in_the_browser(visitor, javascript):
    title = a_title()
    sell(sign_up(visitor(), "ana"), title)
    bo = sign_up(visitor(java_script_enabled=javascript), "bo")

    buy(bo, title)
    pay(bo, "not enough money")
    expect(bo.get_by_text("insufficient funds").first).to_be_visible()
    picture(bo, "declined")
    pay(bo, "Visa ending in 4242")

    expect(bo.get_by_text("4242")).to_be_visible()
    picture(bo, "receipt")
    bo.goto("/my/tickets")
    expect(bo.get_by_text(title)).to_be_visible()
    picture(bo, "my-orders")


def test_an_expired_order_says_so_and_the_ticket_is_on_sale_again(visitor, signed_in, person, operator):
    title = a_title()
    buyer = person("bo")
    order_id = buyer.reserve(person("ana").list_ticket(title))
    bo = signed_in(buyer, viewport={"width": 390, "height": 844})
    bo.goto(f"/orders/{order_id}")
    expect(bo.get_by_role("button", name="Pay $19.99")).to_be_visible()

    operator.let_expire(order_id)

    wait_for(lambda: bo.reload() and bo.get_by_text("It was not paid in time").count(), 20, "the page to say so")
    expect(bo.get_by_text("You were not charged.")).to_be_visible()
    picture(bo, "expired")
    cy = visitor()
    wait_for(
        lambda: cy.goto("/tickets") and cy.get_by_role("link", name=title).count(), 20, "the ticket to be listed again"
    )
