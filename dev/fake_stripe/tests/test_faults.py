"""Requests go wrong on demand, in the ways that Stripe's may."""

import time

import pytest
import stripe

AUTHORIZE = {"amount": 1500, "currency": "usd", "capture_method": "manual"}
ONCE = {"idempotency_key": "pi:1"}


def test_error_before_execution_leaves_nothing(intents, fake):
    fake.control("faults", kind="error", method="POST", path="/v1/payment_intents")

    with pytest.raises(stripe.APIError):
        intents.create(AUTHORIZE, ONCE)

    assert fake.ledger() == []
    assert intents.create(AUTHORIZE, ONCE).status == "requires_payment_method"


def test_error_after_execution_is_replayed(intents, fake):
    fake.control("faults", kind="error", executed=True)

    for _ in range(2):
        with pytest.raises(stripe.APIError) as refused:
            intents.create(AUTHORIZE, ONCE)

    assert refused.value.headers["Idempotent-Replayed"] == "true"
    assert len(fake.ledger()) == 1


def test_lost_reply_is_replayed_for_the_same_key(intents, fake):
    fake.control("faults", kind="lost_reply", path="/v1/payment_intents")

    with pytest.raises(stripe.APIConnectionError):
        intents.create(AUTHORIZE, ONCE)

    intent = intents.create(AUTHORIZE, ONCE)
    assert [entry["payment_intent"] for entry in fake.ledger()] == [intent.id]


def test_library_repeats_a_lost_request_by_itself(fake):
    fake.control("faults", kind="lost_reply")

    fake.client(retries=1).v1.payment_intents.create(AUTHORIZE)

    assert len(fake.ledger()) == 1


def test_slow_reply_is_slow(intents, fake):
    fake.control("faults", kind="slow", seconds=0.2)
    started = time.monotonic()

    intents.create(AUTHORIZE)

    assert time.monotonic() - started >= 0.2


def test_capture_can_be_refused_by_the_bank(new_intent, intents, fake):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})
    refusal = {"status": 402, "type": "card_error", "code": "card_declined", "decline_code": "generic_decline"}
    fake.control("faults", kind="error", path="*/capture", **refusal)

    with pytest.raises(stripe.CardError):
        intents.capture(intent.id)

    assert intents.capture(intent.id).status == "succeeded"


def test_unknown_fault_is_refused(fake):
    with pytest.raises(OSError, match="400"):
        fake.control("faults", kind="strange")
