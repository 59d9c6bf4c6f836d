import pytest

from payments.declines import MESSAGES, buyer_view, decline_error, decline_message
from payments.tests.builders import a_payment

HELPFUL = (
    "insufficient_funds",
    "expired_card",
    "incorrect_cvc",
    "incorrect_number",
    "processing_error",
    "card_velocity_exceeded",
    "card_not_supported",
    "authentication_required",
)


def snapshot(code, **changes):
    return a_payment(declines=1, decline_code=code, **changes).snapshot()


def test_a_decline_that_a_buyer_can_do_something_about_has_its_own_sentence():
    assert len({decline_message(code, 1) for code in (*HELPFUL, "generic_decline")}) == len(HELPFUL) + 1
    assert all(why.endswith(".") and advice.endswith(".") for why, advice in MESSAGES.values())


@pytest.mark.parametrize("code", HELPFUL)
def test_the_api_and_the_page_say_the_same(code):
    payment = a_payment(declines=1, decline_code=code)

    assert buyer_view(payment.snapshot())["decline_message"] == str(decline_error(payment))


@pytest.mark.parametrize("code", ["lost_card", "stolen_card", "fraudulent", "pickup_card", "restricted_card"])
def test_that_a_card_is_lost_or_a_buyer_suspected_is_disclosed_to_nobody(code):
    hidden, any_other = (
        decline_error(a_payment(decline_code=code)),
        decline_error(a_payment(decline_code="generic_decline")),
    )

    assert (str(hidden), hidden.details) == (str(any_other), any_other.details)
    assert buyer_view(snapshot(code)) == buyer_view(snapshot("generic_decline"))


@pytest.mark.parametrize("code", [None, "expired_card", "a code that nobody knows"])
def test_the_last_decline_does_not_ask_for_another_card(code):
    last = a_payment(status="cancelled", declines=3, decline_code=code)

    assert str(decline_error(last)).endswith("This order has ended; to try another card, reserve the ticket again.")
    assert "Try another card." not in str(decline_error(last))
    assert str(decline_error(a_payment(declines=2))) == "Your card was declined. Try another card."


def test_a_decline_no_longer_matters_once_a_card_was_accepted():
    messages = [
        buyer_view(snapshot("expired_card", status=status))["decline_message"] for status in ("captured", "refunded")
    ]

    assert messages == ["", ""]
    assert buyer_view(a_payment().snapshot())["decline_message"] == ""
