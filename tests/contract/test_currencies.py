"""A purchase through the gateway and the services in each kind of currency: with 0, 2 and 3 decimals."""

import secrets
from contextlib import ExitStack
from functools import cache

import pytest

from gateway.app import create_app
from gateway.tests.conftest import Browser
from gateway.tests.fakes import SETTINGS, never_revoked
from tests.contract.real_services import real_services


@pytest.fixture(scope="session")
def site(servers, fake_stripe):
    """Return a function that opens the site in a currency, and returns a function that signs somebody up."""
    with ExitStack() as stack:

        @cache
        def site(currency):
            services = stack.enter_context(real_services(servers, fake_stripe.url, CURRENCY=currency))
            app = create_app(services, SETTINGS | {"CURRENCY": currency}, never_revoked())
            app.test_client_class = Browser

            def sign_up(name):
                browser = app.test_client()
                person = {"email": f"{name}-{secrets.token_hex(4)}@example.com", "password": f"correct horse {name}"}
                assert browser.post("/api/users/signup", json=person).status_code == 201
                return browser

            return sign_up

        yield site


@pytest.mark.parametrize(
    ("currency", "typed", "shown", "charged"),
    [
        ("jpy", "1980", "¥1,980", (1980, "jpy")),
        ("USD", "19.99", "$19.99", (1999, "usd")),
        ("KWD", "12,34", "KWD\xa012.340", (12340, "kwd")),
    ],
)
def test_a_buyer_is_charged_the_price_that_the_page_showed(site, fake_stripe, currency, typed, shown, charged):
    sign_up = site(currency)
    seller, buyer = sign_up("ana"), sign_up("bo")
    ticket = seller.submit("/sell", title="Hamlet", price=typed).location
    assert f"Buy for {shown}" in buyer.get(ticket).text

    order = buyer.submit(ticket, f"{ticket}/buy").location
    paid = buyer.post("/api/payments", json={"orderId": order.rpartition("/")[2], "token": "tok_visa"})

    assert (paid.status_code, paid.json["status"]) == (201, "complete")
    assert shown in buyer.get(order).text
    assert f"{shown}</strong> owed to you" in seller.get("/selling").text
    (intent,) = [intent for intent in fake_stripe.ledger() if intent["order_id"] == paid.json["orderId"]]
    assert (intent["amount"], intent["currency"]) == charged


@pytest.mark.parametrize(("currency", "price"), [("jpy", "49"), ("jpy", "19.99"), ("kwd", "1.234"), ("huf", "174.99")])
def test_a_seller_is_shown_the_bounds_of_the_currency(site, currency, price):
    refused = site(currency)("ana").post("/api/tickets", json={"title": "Hamlet", "price": price})

    assert refused.status_code == 400
    assert refused.json["errors"] == [{"field": "price", "message": BOUNDS[currency]}]


BOUNDS = {
    "jpy": "Enter a price from 50 to 99,999,999, without decimals.",
    "kwd": "Enter a price from 1.000 to 99,999.990, with at most three decimals, the third of them 0.",
    "huf": "Enter a price from 175.00 to 999,999.99, with at most two decimals.",
}
