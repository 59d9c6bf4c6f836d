"""Prices: exact cents from every notation."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bodies import parse
from gateway.formats import money
from gateway.schemas import TicketBody, TicketResponse
from libs.contracts.currencies import currency_of

USD = currency_of("usd")
CENTS = st.integers(USD.minimum, USD.maximum)


def cents_of(price):
    """Return the cents in a body with this literal as its price."""
    return TicketBody(USD).load(parse(b'{"title": "Hamlet", "price": %s}' % price.encode()))["price_cents"]


def test_19_99_is_1999_cents():
    assert cents_of("19.99") == cents_of('"19.99"') == 1999


@given(CENTS)
def test_every_price_is_read_exactly_as_number_and_as_text(cents):
    text = f"{cents // 100}.{cents % 100:02}"

    assert cents_of(text) == cents_of(f'"{text}"') == cents


@given(CENTS)
def test_every_price_survives_a_round_trip(cents):
    written = json.dumps(TicketResponse().dump({"price_cents": cents, "currency": "usd"})["price"])

    assert cents_of(written) == cents


@pytest.mark.parametrize("price", ["20", "20.0", "2e1", '"20"', '"20.0"', '" 20.00 "'])
def test_twenty_is_read_in_every_notation(price):
    assert cents_of(price) == 2000


@pytest.mark.parametrize("price", [0, "0.49", "1000000", "19.999", "-1", "1e3", "1,000", "0x10", "", "NaN", True, None])
def test_invalid_price_is_refused(ana, price):
    answer = ana.post("/api/tickets", json={"title": "Hamlet", "price": price})

    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == "price"


def test_number_too_small_to_calculate_with_is_refused_at_once(ana):
    body = '{"title": "Hamlet", "price": 1e-99999999}'

    answer = ana.post("/api/tickets", data=body, content_type="application/json")

    assert answer.status_code == 400


@pytest.mark.parametrize("value", [[], {}, {"$gt": 0}, 19.99, "٣"])
def test_only_exact_numbers_are_prices(value):
    assert TicketBody(USD).load({"title": "Hamlet", "price": value})["price_cents"] is None


def test_money_is_shown_with_its_currency():
    shown = [money(123456789, "usd"), money(1999, "EUR"), money(5, "sek"), money(12345, "jpy"), money(1234560, "kwd")]

    assert shown == ["$1,234,567.89", "€19.99", "SEK\xa00.05", "¥12,345", "KWD\xa01,234.560"]
