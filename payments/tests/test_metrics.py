import pytest

from payments.card_provider import CardProvider
from payments.errors import StripeUnavailable
from payments.metrics import _kind, stripe_request_seconds


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.stripe.com/v1/payment_intents", "GET /v1/payment_intents"),
        ("https://api.stripe.com/v1/payment_intents/pi_3N/confirm", "GET /v1/payment_intents/ID/confirm"),
        ("http://127.0.0.1:12111/v1/payment_intents/search?query=x", "GET /v1/payment_intents/search"),
        ("https://api.stripe.com/v1/disputes?limit=1", "GET /v1/disputes"),
    ],
)
def test_requests_to_stripe_are_told_apart_by_what_they_do_and_not_by_their_ids(url, kind):
    assert _kind("get", url) == kind


def test_a_request_that_stripe_never_answered_is_timed_too():
    def times():
        samples = next(iter(stripe_request_seconds.collect())).samples
        return sum(each.value for each in samples if each.name.endswith("_count") and each.labels["status"] == "none")

    before = times()

    with pytest.raises(StripeUnavailable):
        CardProvider("sk_test_1", "http://127.0.0.1:9").retrieve("pi_1")

    assert times() == before + 1
