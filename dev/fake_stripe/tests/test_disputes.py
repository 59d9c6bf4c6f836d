"""A cardholder takes money back, or only asks about it."""

import pytest
import stripe


@pytest.fixture
def paid(new_intent, intents):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_visa"})
    return intents.capture(intent.id)


def test_an_inquiry_takes_no_money_and_allows_a_refund(client, paid, fake):
    inquiry = fake.control("disputes", payment_intent=paid.id, inquiry=True)

    assert (inquiry["status"], inquiry["is_charge_refundable"]) == ("warning_needs_response", True)
    assert client.refunds.create({"payment_intent": paid.id}).amount == 1500


@pytest.mark.parametrize("way", [["warning_closed"], ["warning_under_review", "warning_closed"]])
def test_an_inquiry_that_nobody_follows_up_is_closed(client, paid, fake, receiver, way):
    inquiry = fake.control("disputes", payment_intent=paid.id, inquiry=True)

    for status in way:
        fake.control("disputes", dispute=inquiry["id"], status=status)

    types = receiver.wait_for(6 + len(way))
    assert "charge.dispute.closed" in types and "charge.dispute.funds_withdrawn" not in types
    assert client.refunds.create({"payment_intent": paid.id}).amount == 1500


def test_an_inquiry_may_become_a_dispute_that_forbids_a_refund(client, paid, fake):
    inquiry = fake.control("disputes", payment_intent=paid.id, inquiry=True)

    escalated = fake.control("disputes", dispute=inquiry["id"], status="needs_response")

    assert not escalated["is_charge_refundable"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.refunds.create({"payment_intent": paid.id})
    assert refused.value.code == "charge_disputed"


def test_a_test_card_opens_an_inquiry_once_it_has_paid(client, new_intent, intents):
    intent = intents.confirm(new_intent().id, {"payment_method": "pm_card_createDisputeInquiry"})
    intents.capture(intent.id)

    assert client.disputes.list({"payment_intent": intent.id}).data[0].status == "warning_needs_response"


def test_a_decided_dispute_cannot_change(paid, fake):
    dispute = fake.control("disputes", payment_intent=paid.id)
    fake.control("disputes", dispute=dispute["id"], status="won")

    with pytest.raises(OSError, match="400"):
        fake.control("disputes", dispute=dispute["id"], status="lost")
