"""A refund gives back captured money, once."""

import pytest
import stripe


@pytest.fixture
def paid(new_intent, intents):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})
    return intents.capture(intent.id)


def test_refund_of_a_payment_returns_all_of_it(client, paid, fake):
    refund = client.refunds.create({"payment_intent": paid.id, "reason": "requested_by_customer"})

    assert (refund.status, refund.amount, refund.payment_intent) == ("succeeded", 1500, paid.id)
    assert client.charges.retrieve(paid.latest_charge).refunded is True
    assert (fake.ledger()[0]["captured"], fake.ledger()[0]["refunded"]) == (1500, 1500)


def test_second_refund_is_refused(client, paid):
    client.refunds.create({"payment_intent": paid.id})

    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.refunds.create({"payment_intent": paid.id})

    assert refused.value.code == "charge_already_refunded"


def test_partial_refunds_cannot_exceed_the_charge(client, paid):
    client.refunds.create({"charge": paid.latest_charge, "amount": 1000})

    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        client.refunds.create({"charge": paid.latest_charge, "amount": 501})

    assert client.refunds.create({"charge": paid.latest_charge}).amount == 500
    assert len(client.refunds.list({"payment_intent": paid.id}).data) == 2


def test_payment_that_was_never_captured_cannot_be_refunded(client, new_intent, intents):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})

    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        client.refunds.create({"payment_intent": intent.id})


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_pending_refund_is_finished_by_a_control_and_undone_if_it_failed(client, paid, fake, receiver, outcome):
    fake.control("refunds", begin="pending")
    refund = client.refunds.create({"payment_intent": paid.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    assert client.charges.retrieve(paid.latest_charge).refunded is True
    receiver.wait_for(7)

    fake.control("refunds", refund=refund.id, status=outcome)

    has_failed = outcome == "failed"
    types = ["refund.updated", "charge.refund.updated"] + ["refund.failed"] * has_failed
    assert sorted(receiver.wait_for(len(types))) == sorted(types)
    assert client.refunds.retrieve(refund.id).status == outcome
    assert client.charges.retrieve(paid.latest_charge).amount_refunded == (0 if has_failed else 1500)
    assert fake.ledger()[0]["refunded"] == (0 if has_failed else 1500)


def test_refund_that_seemed_to_have_succeeded_can_fail_and_be_made_again(client, paid, fake):
    refund = client.refunds.create({"payment_intent": paid.id})

    fake.control("refunds", refund=refund.id, status="failed", failure_reason="expired_or_canceled_card")

    assert client.refunds.retrieve(refund.id).failure_reason == "expired_or_canceled_card"
    assert client.refunds.create({"payment_intent": paid.id}).amount == 1500
    with pytest.raises(OSError, match="400"):
        fake.control("refunds", refund=refund.id, status="succeeded")
