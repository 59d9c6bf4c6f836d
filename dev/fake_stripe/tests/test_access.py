"""Who may call what: keys, unknown things, parameters that Stripe does not take."""

import pytest
import stripe

from dev.fake_stripe.testing import PUBLISHABLE_KEY


def test_key_that_is_no_test_key_is_refused(fake):
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key"):
        fake.client("sk_live_something").v1.payment_intents.list()


def test_global_client_of_the_library_works_too(fake, monkeypatch):
    monkeypatch.setattr(stripe, "api_base", fake.url)

    intent = stripe.PaymentIntent.create(amount=1500, currency="usd", api_key="sk_test_fake")

    assert intent.status == "requires_payment_method"


def test_publishable_key_reads_an_intent_only_with_its_secret(fake, new_intent):
    intent, browser = new_intent(), fake.client(PUBLISHABLE_KEY).v1.payment_intents

    seen = browser.retrieve(intent.id, {"client_secret": intent.client_secret})

    assert seen.status == "requires_payment_method" and not hasattr(seen, "metadata")
    with pytest.raises(stripe.InvalidRequestError, match="client_secret"):
        browser.retrieve(intent.id, {"client_secret": "guess"})


def test_publishable_key_cannot_capture(fake, new_intent):
    with pytest.raises(stripe.AuthenticationError) as refused:
        fake.client(PUBLISHABLE_KEY).v1.payment_intents.capture(new_intent().id)

    assert refused.value.error.code == "secret_key_required"


def test_secret_that_a_browser_shows_to_confirm_is_no_parameter_for_a_secret_key(fake, intents, new_intent):
    intent = new_intent(payment_method="pm_card_visa")
    shown = {"client_secret": intent.client_secret}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.confirm(intent.id, shown)
    confirmed = fake.client(PUBLISHABLE_KEY).v1.payment_intents.confirm(intent.id, shown)

    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "client_secret")
    assert confirmed.status == "requires_capture"


def test_unknown_intent_is_404(intents):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.retrieve("pi_unknown")

    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


def test_unknown_payment_method_is_400(new_intent, intents):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.confirm(new_intent().id, {"payment_method": "pm_unknown"})

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (
        400,
        "resource_missing",
        "payment_method",
    )


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        ({"foo": "1"}, "parameter_unknown", "foo"),
        ({"amount": 10.5}, "parameter_invalid_integer", "amount"),
        ({"capture_method": "later"}, None, "capture_method"),
        (
            {"automatic_payment_methods": {"enabled": True, "redirects": "never"}},
            "parameter_unknown",
            "automatic_payment_methods[redirects]",
        ),
        (
            {"automatic_payment_methods": {"allow_redirects": "never"}},
            "parameter_missing",
            "automatic_payment_methods[enabled]",
        ),
        ({"payment_method_types": ["card"]}, "payment_method_types_no_longer_supported", "payment_method_types"),
        ({"expand": "latest_charge"}, None, "expand"),
        ({"metadata": "order-1"}, None, "metadata"),
        ({"currency": "xyz"}, None, "currency"),
    ],
)
def test_parameter_that_stripe_would_refuse_is_refused(intents, wrong, code, param):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.create({"amount": 1500, "currency": "usd"} | wrong)

    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)


def test_what_the_fake_does_not_emulate_is_refused_and_not_ignored(new_intent):
    with pytest.raises(stripe.InvalidRequestError, match="does not emulate customer"):
        new_intent(customer="cus_1")


def test_missing_parameter_is_refused(intents):
    with pytest.raises(stripe.InvalidRequestError) as refused:
        intents.create({"amount": 1500})

    assert (refused.value.code, refused.value.param) == ("parameter_missing", "currency")
