"""Currencies: digits, bounds and conversion between major and minor units."""

from decimal import Decimal

import pytest

from libs.contracts.currencies import MINIMUMS, currency_of, currency_setting

WITHOUT_DECIMALS = {"jpy", "krw"}
"""Of ours those that https://docs.stripe.com/currencies#zero-decimal lists."""
WITH_THREE_DECIMALS = {"bhd", "jod", "kwd", "omr", "tnd"}
"""https://docs.stripe.com/currencies#three-decimal lists these, and no others."""


@pytest.mark.parametrize("code", MINIMUMS)
def test_babel_and_stripe_agree_on_the_digits(code):
    digits = 0 if code in WITHOUT_DECIMALS else 3 if code in WITH_THREE_DECIMALS else 2

    assert currency_of(code).digits == digits


@pytest.mark.parametrize("code", MINIMUMS)
def test_the_bounds_of_a_price_are_prices_and_survive_the_conversion(code):
    currency = currency_of(code)

    for minor in (currency.minimum, currency.maximum):
        assert currency.is_price(minor)
        assert currency.minor(currency.major(minor)) == currency.parse(str(currency.major(minor))) == minor
    assert not currency.is_price(currency.minimum - currency.step)
    assert not currency.is_price(currency.maximum + 1)


@pytest.mark.parametrize("typed", ["usd", "USD", " Usd "])
def test_the_setting_is_taken_in_either_case(typed):
    assert currency_setting(typed).code == "usd"


@pytest.mark.parametrize("typed", ["isk", "ugx", "xxx", "us dollar", "840", "$"])
def test_a_currency_that_stripe_does_not_charge_or_charges_in_another_way_is_refused(typed):
    with pytest.raises(ValueError, match=r".+"):
        currency_setting(typed)


def test_a_stored_amount_in_an_unknown_currency_can_still_be_shown():
    assert currency_of("XYZ").major(1999) == Decimal("19.99")
