"""Events are signed, sent, retried until accepted, and go wrong on demand."""

import queue
import time

import pytest

from dev.fake_stripe.testing import running

AUTHORIZED = {"payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated"}


@pytest.fixture
def authorize(new_intent, intents):
    return lambda **params: intents.confirm(new_intent(**params).id, {"payment_method": "pm_card_visa"})


def only(fake, *types):
    """Let only these types of event be delivered."""
    for type in types:
        fake.control("webhooks", action="delay", match=type, seconds=0)
    fake.control("webhooks", action="drop")


def test_payment_sends_its_events(authorize, intents, client, receiver):
    intent = authorize()
    assert set(receiver.wait_for(3)) == AUTHORIZED

    intents.capture(intent.id)
    assert set(receiver.wait_for(2)) == {"charge.captured", "payment_intent.succeeded"}

    client.refunds.create({"payment_intent": intent.id})
    assert set(receiver.wait_for(2)) == {"refund.created", "charge.refunded"}


def test_event_shows_the_object_as_it_was(authorize, fake, receiver):
    only(fake, "payment_intent.created")

    intent = authorize()

    event = receiver.arrived.get(timeout=5)
    assert (event.data.object.id, event.data.object.status) == (intent.id, "requires_payment_method")
    assert event.api_version.startswith("20") and event.livemode is False


def test_endpoint_gets_only_the_types_to_which_it_subscribes(receiver):
    receiver.forget()
    with running(receiver.url, types={"payment_intent.canceled"}) as fake:
        intents = fake.client().v1.payment_intents
        intents.cancel(intents.create({"amount": 1500, "currency": "usd"}).id)

        assert receiver.wait_for(1) == ["payment_intent.canceled"]
        assert len(fake.client().v1.events.list().data) == 2


def test_decline_and_cancellation_send_events(new_intent, intents, fake, receiver):
    intent = new_intent()
    with pytest.raises(Exception, match="declined"):
        intents.confirm(intent.id, {"payment_method": "pm_card_chargeDeclined"})
    intents.cancel(intent.id)

    types = set(receiver.wait_for(4)) - {"payment_intent.created"}
    assert types == {"charge.failed", "payment_intent.payment_failed", "payment_intent.canceled"}


def test_event_is_retried_until_it_is_accepted(new_intent, receiver, client):
    answers = iter([500, 302, 200])
    receiver.answers = lambda event: next(answers)

    intent = new_intent()

    events = [receiver.arrived.get(timeout=5) for _ in range(3)]
    assert {(event.id, event.data.object.id) for event in events} == {(events[0].id, intent.id)}
    until(lambda: client.events.list({"delivery_success": True}).data)


def until(condition, deadline=5):
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_dropped_event_can_be_found_in_the_list(new_intent, fake, receiver, client):
    fake.control("webhooks", action="drop", match="payment_intent.created", count=1)

    lost, delivered = new_intent(), new_intent()

    assert receiver.arrived.get(timeout=5).data.object.id == delivered.id
    until(lambda: client.events.list({"delivery_success": True}).data)
    missed = client.events.list({"delivery_success": False, "types": ["payment_intent.created"]}).data
    assert [event.data.object.id for event in missed] == [lost.id]


def test_event_can_come_twice(new_intent, fake, receiver):
    fake.control("webhooks", action="duplicate", times=2)

    new_intent()

    assert receiver.arrived.get(timeout=5).id == receiver.arrived.get(timeout=5).id


def test_event_can_come_late(new_intent, fake, receiver):
    fake.control("webhooks", action="delay", seconds=0.3)
    started = time.monotonic()

    new_intent()

    receiver.wait_for(1)
    assert time.monotonic() - started >= 0.3


def test_events_can_come_in_the_wrong_order(new_intent, fake, receiver):
    fake.control("webhooks", action="reorder", count=1)

    first, second = new_intent(), new_intent()

    arrived = [receiver.arrived.get(timeout=5).data.object.id for _ in range(2)]
    assert arrived == [second.id, first.id]


def test_accepted_event_is_sent_again_when_its_answer_counts_as_500(new_intent, fake, receiver):
    fake.control("webhooks", action="fail", times=1)

    new_intent()

    assert receiver.arrived.get(timeout=5).id == receiver.arrived.get(timeout=5).id


def test_plain_delivery_sends_what_was_held_back(new_intent, fake, receiver):
    fake.control("webhooks", action="delay", seconds=60)
    new_intent()
    with pytest.raises(queue.Empty):
        receiver.wait_for(1, deadline=0.2)

    fake.control("webhooks", method="DELETE")

    assert receiver.wait_for(1) == ["payment_intent.created"]


def test_dispute_sends_events_when_it_opens_and_closes(authorize, intents, fake, receiver, client):
    only(fake, "charge.dispute.created", "charge.dispute.closed")
    intent = intents.capture(authorize().id)

    dispute = fake.control("disputes", payment_intent=intent.id)
    fake.control("disputes", dispute=dispute["id"], status="lost")

    assert set(receiver.wait_for(2)) == {"charge.dispute.created", "charge.dispute.closed"}
    assert fake.ledger()[0]["charges"][0]["disputed"] is True
    assert client.disputes.retrieve(dispute["id"]).status == "lost"


def test_refund_from_the_dashboard_sends_events(authorize, intents, fake, receiver):
    only(fake, "charge.refunded")
    intent = intents.capture(authorize().id)

    fake.control("refunds", payment_intent=intent.id)

    assert receiver.wait_for(1) == ["charge.refunded"]
    assert fake.ledger()[0]["refunded"] == 1500
