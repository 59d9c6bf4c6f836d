import pytest

from dev.fake_stripe.testing import running
from dev.testing import proxy
from payments.card_provider import CardProvider
from payments.errors import StripeUnavailable


def test_fake_stripe_is_called_without_the_proxy_of_the_environment(monkeypatch):
    with proxy() as (url, asked), running() as fake:
        monkeypatch.setenv("http_proxy", url)
        CardProvider("sk_test_x", fake.url).create({"id": "1", "price_cents": 100, "currency": "usd"})

    assert asked == []


def test_stripe_is_called_through_the_proxy_of_the_environment(monkeypatch):
    with proxy() as (url, asked):
        monkeypatch.setenv("https_proxy", url)
        with pytest.raises(StripeUnavailable):
            CardProvider("sk_test_x").retrieve("pi_1")

    assert asked == ["api.stripe.com:443"]
