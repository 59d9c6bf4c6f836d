"""A key's first reply is its only one for a day."""

import threading

import pytest
import stripe

AUTHORIZE = {
    "amount": 1500,
    "currency": "usd",
    "capture_method": "manual",
    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
}


def test_same_key_gives_the_same_answer_again(intents, fake):
    first = intents.create(AUTHORIZE, {"idempotency_key": "pi:1"})
    again = intents.create(AUTHORIZE, {"idempotency_key": "pi:1"})

    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(fake.ledger()) == 1


def test_same_key_with_other_parameters_is_refused(intents):
    intents.create(AUTHORIZE, {"idempotency_key": "pi:1"})

    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        intents.create(AUTHORIZE | {"amount": 1600}, {"idempotency_key": "pi:1"})


def test_same_key_at_another_endpoint_is_refused(intents):
    intent = intents.create(AUTHORIZE, {"idempotency_key": "pi:1"})

    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        intents.cancel(intent.id, None, {"idempotency_key": "pi:1"})


def test_decline_is_replayed_without_a_second_attempt(intents, client):
    intent = intents.create(AUTHORIZE)

    for _ in range(2):
        with pytest.raises(stripe.CardError):
            intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "confirm:1:1"})

    assert len(client.charges.list({"payment_intent": intent.id}).data) == 1


def test_invalid_request_is_not_kept(intents):
    with pytest.raises(stripe.InvalidRequestError):
        intents.create(AUTHORIZE | {"amount": 1}, {"idempotency_key": "pi:1"})

    assert intents.create(AUTHORIZE, {"idempotency_key": "pi:1"}).amount == 1500


def test_key_in_use_is_refused(intents, fake):
    fake.control("faults", kind="slow", seconds=60)
    slow = threading.Thread(target=intents.create, args=(AUTHORIZE, {"idempotency_key": "pi:1"}))
    slow.start()
    while fake.control("faults", method="GET"):
        pass

    with pytest.raises(stripe.APIError) as refused:
        intents.create(AUTHORIZE, {"idempotency_key": "pi:1"})
    fake.control("faults", method="DELETE")
    slow.join()

    assert (refused.value.http_status, refused.value.error.code) == (409, "idempotency_key_in_use")
    assert len(fake.ledger()) == 1


def test_key_is_forgotten_after_a_day(intents, fake):
    first = intents.create(AUTHORIZE, {"idempotency_key": "pi:1"})

    fake.control("clock", advance=24 * 3600)

    assert intents.create(AUTHORIZE, {"idempotency_key": "pi:1"}).id != first.id
