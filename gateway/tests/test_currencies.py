"""Prices in a currency without decimals and in one with three, and as people of other countries type them."""

import itertools

import pytest
from babel import Locale, localedata
from babel.numbers import get_decimal_symbol
from jsonschema_rs import validate

from gateway.app import create_app
from gateway.formats import money, total
from gateway.languages import LANGUAGES
from gateway.price_input import visitor_locale, with_decimal_mark, with_point, without_currency
from gateway.tests.conftest import create_test_app
from gateway.tests.fakes import SETTINGS
from libs.contracts.currencies import MINIMUMS, currency_of
from libs.settings import MissingSetting


@pytest.fixture
def shop(services, revocations):
    """Return a function that opens the site in a currency, and returns the browser of a seller who is signed in."""

    def shop(currency, name="ana"):
        services.currency = currency.lower()
        browser = create_test_app(services, revocations, CURRENCY=currency).test_client()
        browser.post("/api/users/signup", json={"email": f"{name}@example.com", "password": f"{name} and a word"})
        return browser

    return shop


def listed(seller, price, **headers):
    """Put a ticket on sale through the form; return what the ticket's page shows."""
    page = seller.submit("/sell", title="Hamlet", price=price)
    assert page.status_code == 303, page.text
    return seller.get(page.location).text


@pytest.mark.parametrize(
    ("currency", "label", "typed", "shown", "minor"),
    [
        ("JPY", "Price (JPY)", "1980", "¥1,980", 1980),
        ("jpy", "Price (JPY)", "50", "¥50", 50),
        ("kwd", "Price (KWD)", "12.34", "KWD\xa012.340", 12340),
        ("Eur", "Price (EUR)", "19.99", "€19.99", 1999),
    ],
)
def test_a_seller_types_a_price_and_sees_it_as_the_currency_is_written(
    shop, services, currency, label, typed, shown, minor
):
    seller = shop(currency)

    assert label in seller.get("/sell").text
    assert shown in listed(seller, typed)
    assert [ticket["price_cents"] for ticket in services.tickets.values()] == [minor]


@pytest.mark.parametrize(
    ("currency", "price"), [("jpy", "19.99"), ("jpy", "49"), ("kwd", "1.2345"), ("kwd", "1.234"), ("kwd", "0.5")]
)
def test_a_price_that_stripe_would_refuse_is_refused_when_it_is_typed(shop, currency, price):
    answer = shop(currency).submit("/sell", title="Hamlet", price=price)

    assert answer.status_code == 400
    assert 'href="#price"' in answer.text


@pytest.mark.parametrize(("currency", "price"), [("jpy", 1980), ("kwd", 12.34), ("eur", 19.99)])
def test_an_api_client_reads_the_price_that_it_sent(shop, currency, price):
    seller = shop(currency)

    made = seller.post("/api/tickets", json={"title": "Hamlet", "price": price}).json

    assert (made["price"], made["currency"]) == (price, currency)
    assert (
        seller.put(f"/api/tickets/{made['id']}", json={"title": "Hamlet", "price": str(price)}).json["price"] == price
    )
    assert seller.get("/api/tickets", query_string={"min_price": price, "max_price": price}).status_code == 200


def test_the_description_says_what_a_price_in_yen_is(shop):
    schemas = shop("jpy").get("/api/openapi.json").json["components"]["schemas"]

    price = schemas["TicketBody"]["properties"]["price"]
    assert (price["minimum"], price["maximum"], price["multipleOf"]) == (50, 99_999_999, 1)
    assert "." not in price["pattern"]


def test_the_description_allows_answers_in_an_earlier_currency(shop):
    schemas = shop("jpy").get("/api/openapi.json").json["components"]["schemas"]

    for name, field in [("Ticket", "price"), ("TicketSnapshot", "price"), ("Order", "refundedAmount")]:
        validate(schemas[name]["properties"][field], 19.99)


def test_a_ticket_of_an_earlier_currency_is_shown_in_it_and_edited_in_the_new_one(shop, services):
    shop("usd", "ada").post("/api/tickets", json={"title": "Hamlet", "price": 19.99})
    (ticket,) = services.tickets.values()
    seller = shop("jpy", "ana")
    ticket["seller_id"] = next(user["id"] for user in services.users.values() if user["email"].startswith("ana"))

    assert "$19.99" in seller.get("/").text
    edit = seller.get(f"/tickets/{ticket['id']}/edit").text
    assert "Price (JPY)" in edit
    assert "19.99" not in edit
    seller.submit(f"/tickets/{ticket['id']}/edit", title="Hamlet", price="2000", category="other")
    assert "¥2,000" in seller.get(f"/tickets/{ticket['id']}").text


@pytest.mark.parametrize("currency", ["yen", "isk", "ugx", "us", "dollars", "€"])
def test_the_gateway_does_not_start_with_a_currency_that_cannot_be_charged(services, revocations, currency):
    with pytest.raises(MissingSetting, match="^CURRENCY is not of the form CODE, one of aed, "):
        create_app(services, SETTINGS | {"CURRENCY": currency}, revocations)


@pytest.mark.parametrize(
    ("typed", "language", "read"),
    [
        ("19,99", "en", "19.99"),
        ("19,99", "de", "19.99"),
        ("19.99", "de", "19.99"),
        ("0,5", "fr", "0.5"),
        ("0.125", "de", "0.125"),
        ("1 234,50", "en", "1234.50"),
        ("1\u202f234,50", "fr", "1234.50"),
        ("1.234,50", "en", "1234.50"),
        ("1,234.50", "de", "1234.50"),
        ("1'234.50", "de_CH", "1234.50"),
        ("1.234.567,89", "de", "1234567.89"),
        ("1,234,567", "de", "1234567"),
        ("1,234", "en", "1234"),
        ("1,234", "de", "1.234"),
        ("1.234", "de", "1234"),
        ("1.234", "en", "1.234"),
        ("1.234", "fr", None),  # a French price has neither a decimal point nor points between thousands
        ("1234,500", "en", "1234.500"),
        ("12,34,567.89", "hi", "1234567.89"),
        ("1,00,000", "en_IN", "100000"),
        ("١٢٫٥٠", "ar", "12.50"),
        ("۱٬۲۳۴", "fa", "1234"),
        ("１，９８０", "ja", "1980"),
        ("5²", "en", "5²"),
        ("20,-", "de", "20"),
        ("1.234,--", "de", "1234"),
        ("20.–", "de_CH", "20"),
    ],
)
def test_a_price_is_read_as_its_seller_meant_it(typed, language, read):
    assert with_point(typed, Locale.parse(language)) == read


@pytest.mark.parametrize(
    "typed", ["1,23,4.5", "12,34,56", "1.23.4", "1,234,56", "1 23", ",5", "5,", "1.2,3", "--1,5", ""]
)
def test_what_is_no_number_anywhere_stays_what_it_is(typed, shop):
    assert shop("usd").submit("/sell", title="Hamlet", price=typed).status_code == 400


@pytest.mark.parametrize("language", ["en", "de", "fr", "de_CH", "ar", "ja", "pl"])
def test_a_price_that_the_form_shows_again_is_read_as_the_same(language):
    locale = Locale.parse(language)

    for number in ("1.230", "19.99", "1234.500", "1980", "999999.99"):
        assert with_point(with_decimal_mark(number, locale), locale) == number


@pytest.mark.parametrize("spoken", LANGUAGES)
def test_a_price_may_be_typed_as_pages_write_it(app, spoken):
    locale = Locale.parse(spoken)

    with app.test_request_context(headers={"Accept-Language": spoken}):
        for code, minor in itertools.product(MINIMUMS, (123_450, 50_000_000)):
            number = f"{currency_of(code).major(minor):f}"
            for written in (money(minor, code), total(minor, code), f"{code}{with_decimal_mark(number, locale)}"):
                assert with_point(without_currency(written, code, locale), locale) == number


def test_a_seller_and_a_buyer_may_type_the_sign_of_the_sites_currency_and_of_no_other(shop):
    seller = shop("usd")

    assert "$1,234.50" in listed(seller, " $1,234.50 USD")
    assert "$1,235.50" in listed(seller, "\u202a$1,235.50\u202c")  # as copied from a program that marks directions
    assert seller.submit("/sell", title="Hamlet", price="€20").status_code == 400
    found = [seller.get(f"/tickets?min_price={typed}").status_code for typed in ("$20", "20+usd", "$", "USD+€20")]
    assert found == [200, 200, 400, 400]


def test_a_german_seller_types_and_finds_a_comma(shop, services):
    seller = shop("eur")
    seller.environ_base["HTTP_ACCEPT_LANGUAGE"] = "xx-YY, de-AT;q=0.8, en;q=0.5"

    assert "19,99" in seller.get("/sell").text
    assert "1.234,50\xa0€" in listed(seller, "1.234,50")
    (ticket,) = services.tickets
    assert 'value="1234,50"' in seller.get(f"/tickets/{ticket}/edit").text
    assert seller.get("/tickets?min_price=1.234,50&max_price=2.000").status_code == 200
    asked = [arguments for name, arguments in services.calls if name == "tickets.list"][-1]
    assert (asked["min_price_cents"], asked["max_price_cents"]) == (123450, 200000)
    assert "Geben Sie den niedrigsten Preis so ein: 19,99." in seller.get("/tickets?min_price=viel").text


def test_a_price_with_three_decimals_is_read_by_the_language_of_each_visitor(shop, services):
    guest = shop("kwd").application.test_client()

    for language in ("de", "en", "de-AT", "en-GB"):
        guest.get("/tickets?min_price=1.500", headers={"Accept-Language": language})

    asked = [arguments["min_price_cents"] for name, arguments in services.calls if name == "tickets.list"]
    assert asked == [1_500_000, 1500, 1_500_000, 1500]


def test_visitors_of_all_countries_type_as_they_are_used_to_and_do_not_fill_the_memory(app, monkeypatch):
    monkeypatch.setattr("gateway.price_input.MOST_LOCALES", 3)
    countries = ["fr-TN", "pl", "de-CH", "ja", "it", "en-IN", "sv", "cs", "nl", "es-MX"]
    marks = {country: get_decimal_symbol(Locale.parse(country, sep="-")) for country in countries}
    localedata._cache.clear()

    for country in 2 * countries:
        with app.test_request_context(headers={"Accept-Language": country}):
            assert with_decimal_mark("1.5", visitor_locale()) == f"1{marks[country]}5"

    assert 0 < len(localedata._cache) <= 3 * 3  # each with the language and the root that it inherits from


def test_an_api_client_sends_a_point(shop):
    seller = shop("eur")

    answer = seller.post("/api/tickets", json={"title": "Hamlet", "price": "19,99"}, headers={"Accept-Language": "de"})

    assert answer.status_code == 400
