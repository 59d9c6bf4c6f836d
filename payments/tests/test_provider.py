from types import SimpleNamespace

import pytest

from payments.provider import PaymentsProvider

LIVE = {
    "STRIPE_SECRET_KEY": "sk_live_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
    "STRIPE_WEBHOOK_SECRET": "whsec_1",
    "STRIPE_API_BASE": "http://127.0.0.1:12111",
}


def test_live_key_is_never_sent_to_a_fake_stripe():
    money = PaymentsProvider()
    money.container = SimpleNamespace(config=LIVE, service_name="payments")

    with pytest.raises(SystemExit, match="STRIPE_API_BASE is the address of a fake Stripe"):
        money.setup()
