"""No page of the simulation can be taken for a real one."""

from urllib.request import urlopen

import pytest


@pytest.fixture
def addresses(fake, new_intent, intents):
    """The page of the card form, and that of a 3-D Secure challenge before and after its answer."""
    asked = [
        intents.confirm(new_intent().id, {"payment_method": "pm_card_threeDSecure2Required", "use_stripe_sdk": True})
        for _ in range(2)
    ]
    fake.control("authenticate", payment_intent=asked[1].id)
    challenges = [f"{fake.url}/3d_secure/{intent.id}?client_secret={intent.client_secret}" for intent in asked]
    return [f"{fake.url}/v3/payment-element", *challenges]


def test_every_page_says_that_it_is_a_simulation_and_moves_no_money(addresses):
    for address in addresses:
        with urlopen(address, timeout=10) as answer:  # noqa: S310 - our own server
            page = answer.read().decode()
        assert "<strong>Simulation.</strong>" in page and "no money moves" in page.lower()
        assert "(simulation)</title>" in page
