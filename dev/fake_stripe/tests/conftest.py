"""A fake Stripe per module, emptied before each test; the real library as its client."""

import pytest

from dev.fake_stripe.testing import receiving, running


@pytest.fixture(scope="module")
def receiver():
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def _fake(receiver):
    with running(webhook_url=receiver.url) as fake:
        yield fake


@pytest.fixture
def fake(_fake, receiver):
    _fake.control("reset")
    receiver.forget()
    return _fake


@pytest.fixture
def client(fake):
    return fake.client().v1


@pytest.fixture
def intents(client):
    return client.payment_intents


@pytest.fixture
def new_intent(intents):
    """Make a PaymentIntent of 15.00 usd that is only authorized at first; any parameter can be given."""

    def create(**params):
        defaults = {
            "amount": 1500,
            "currency": "usd",
            "capture_method": "manual",
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"order_id": "order-1"},
        }
        return intents.create(defaults | params)

    return create
