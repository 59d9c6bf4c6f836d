"""Stripe's test cards do what Stripe's page on testing says."""

import pytest
import stripe

RETURN = {"return_url": "http://127.0.0.1/done"}


def card(good="4242424242424242", **details):
    return {"type": "card", "card": {"number": good, "exp_month": 12, "exp_year": 2034, "cvc": "123"} | details}


@pytest.mark.parametrize(
    ("number", "brand", "cvc"),
    [
        ("4242424242424242", "visa", "123"),
        ("5555555555554444", "mastercard", "123"),
        ("378282246310005", "amex", "1234"),
    ],
)
def test_good_card_pays(client, new_intent, intents, number, brand, cvc):
    method = client.payment_methods.create(card(number, cvc=cvc))

    assert (method.card.brand, method.card.last4, method.card.exp_year) == (brand, number[-4:], 2034)
    assert intents.confirm(new_intent().id, {"payment_method": method.id}).status == "requires_capture"


@pytest.mark.parametrize(
    ("number", "code", "decline_code"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000009987", "card_declined", "lost_card"),
        ("4000000000009979", "card_declined", "stolen_card"),
        ("4000000000000069", "expired_card", "expired_card"),
        ("4000000000000127", "incorrect_cvc", "incorrect_cvc"),
        ("4000000000000119", "processing_error", "processing_error"),
        ("4000000000006975", "card_declined", "card_velocity_exceeded"),
        ("4000000000000341", "card_declined", "generic_decline"),
        ("4111111111111111", "card_declined", "test_mode_live_card"),
    ],
)
def test_bad_card_is_accepted_and_then_declined(client, new_intent, intents, number, code, decline_code):
    method = client.payment_methods.create(card(number))

    with pytest.raises(stripe.CardError) as declined:
        intents.confirm(new_intent().id, {"payment_method": method.id})

    assert (declined.value.error.code, declined.value.error.decline_code) == (code, decline_code)


@pytest.mark.parametrize(
    ("token", "decline_code"),
    [
        ("tok_chargeDeclined", "generic_decline"),
        ("tok_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("tok_chargeDeclinedExpiredCard", "expired_card"),
        ("tok_chargeDeclinedIncorrectCvc", "incorrect_cvc"),
        ("tok_chargeDeclinedProcessingError", "processing_error"),
    ],
)
def test_token_becomes_a_payment_method_that_is_declined(new_intent, intents, token, decline_code):
    data = {"type": "card", "card": {"token": token}}

    with pytest.raises(stripe.CardError) as declined:
        intents.confirm(new_intent().id, {"payment_method_data": data})

    assert declined.value.error.decline_code == decline_code


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"exp_month": 13}, "invalid_expiry_month"),
        ({"exp_year": 2020}, "invalid_expiry_year"),
        ({"cvc": "12"}, "invalid_cvc"),
    ],
)
def test_impossible_card_becomes_no_payment_method(client, wrong, code):
    with pytest.raises(stripe.CardError) as refused:
        client.payment_methods.create(card(**wrong))

    assert refused.value.code == code


@pytest.mark.parametrize("name", ["authenticationRequired", "threeDSecure2Required"])
@pytest.mark.parametrize(("outcome", "status"), [("complete", "requires_capture"), ("fail", "requires_payment_method")])
def test_challenge_decides(new_intent, intents, fake, name, outcome, status):
    intent = intents.confirm(new_intent().id, {"payment_method": f"pm_card_{name}"} | RETURN)
    assert (intent.status, intent.next_action.type) == ("requires_action", "redirect_to_url")

    fake.control("authenticate", payment_intent=intent.id, outcome=outcome)

    assert intents.retrieve(intent.id).status == status


def test_passed_challenge_may_still_be_declined(new_intent, intents, fake, client):
    method = client.payment_methods.create(card("4000008400001629"))
    intent = intents.confirm(new_intent().id, {"payment_method": method.id} | RETURN)

    fake.control("authenticate", payment_intent=intent.id, outcome="complete")

    intent = intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    assert (intent.last_payment_error.decline_code, intent.latest_charge.status) == ("generic_decline", "failed")


def test_challenge_off_session_is_a_decline(new_intent, intents):
    with pytest.raises(stripe.CardError) as declined:
        intents.confirm(new_intent().id, {"payment_method": "pm_card_authenticationRequired", "off_session": True})

    assert declined.value.code == "authentication_required"


def test_token_made_of_a_number_works_once(client, new_intent, intents):
    token = client.tokens.create({"card": {"number": "4242424242424242", "exp_month": "12", "exp_year": "2034"}})
    client.payment_methods.create({"type": "card", "card": {"token": token.id}})

    with pytest.raises(stripe.InvalidRequestError, match="more than once"):
        client.payment_methods.create({"type": "card", "card": {"token": token.id}})
