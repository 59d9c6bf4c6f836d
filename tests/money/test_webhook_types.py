"""Each type of webhook is enough by itself: no event, no reconciler and no buyer helps."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
import stripe

from dev.fake_stripe.testing import WEBHOOK_SECRET
from payments import disputes
from payments.errors import InvalidSignature
from payments.provider import webhook_reader
from payments.service import PaymentsService
from payments.webhooks import WebhookReader
from tests.money.buyer import confirm
from tests.money.scenarios import awaited, ordered

LIVE_KEYS = {
    "STRIPE_SECRET_KEY": "rk_live_1", "STRIPE_PUBLISHABLE_KEY": "pk_live_1", "STRIPE_WEBHOOK_SECRET": "whsec_1,whsec_2",
}  # fmt: skip


@pytest.fixture
def service(world):
    """The payments service as a request of the gateway reaches it."""
    service = PaymentsService()
    service.caller = SimpleNamespace(require=lambda *names: None)
    webhooks = WebhookReader(WEBHOOK_SECRET, is_live=False)
    service.money = SimpleNamespace(store=world.store, reconciler=world.reconciler, webhooks=webhooks)
    return service


@pytest.fixture
def deliver(service, stripe_running):
    """Return a function that passes on to the service the next webhook of one type, of all that Stripe sends."""
    _, receiver = stripe_running
    receiver.forget()

    def deliver(kind):
        while (event := receiver.arrived.get(timeout=5)).type != kind:
            pass
        receive(service, event.to_dict())

    return deliver


def receive(service, event):
    body = json.dumps(event)
    service.receive_webhook(body, stripe.WebhookSignature.generate_signature_header(body, WEBHOOK_SECRET))


def stripe_id(world, order_id):
    return world.payment(order_id).stripe_id


def test_amount_capturable_updated_leads_to_an_authorization(world, fake, deliver):
    order_id = ordered(world)
    confirm(world, fake, order_id)

    deliver("payment_intent.amount_capturable_updated")

    assert status_and_events(world, order_id) == ("authorized", ["PaymentAuthorized"])


def test_amount_capturable_updated_leads_to_the_capture_of_what_is_awaited(world, deliver):
    order_id = awaited(world)

    deliver("payment_intent.amount_capturable_updated")

    assert status_and_events(world, order_id) == ("captured", ["PaymentAuthorized", "PaymentCreated"])


def test_succeeded_leads_to_a_capture(world, fake, deliver):
    order_id = awaited(world)
    fake.client().v1.payment_intents.capture(stripe_id(world, order_id))

    deliver("payment_intent.succeeded")

    assert status_and_events(world, order_id) == ("captured", ["PaymentAuthorized", "PaymentCreated"])


def test_payment_failed_leads_to_a_decline(world, fake, deliver):
    order_id = ordered(world)
    with pytest.raises(stripe.CardError):
        confirm(world, fake, order_id, "pm_card_chargeDeclined")

    deliver("payment_intent.payment_failed")

    assert status_and_events(world, order_id) == ("open", ["PaymentFailed"])
    assert world.payment(order_id).declines == 1


def test_the_third_payment_failed_ends_the_payment(world, fake, deliver):
    order_id = ordered(world)
    for _ in range(3):
        with pytest.raises(stripe.CardError):
            confirm(world, fake, order_id, "pm_card_chargeDeclined")

    deliver("payment_intent.payment_failed")

    # opening the form each time settled the first two
    assert status_and_events(world, order_id) == ("cancelled", ["PaymentFailed"] * 3)


def test_canceled_leads_to_a_void(world, fake, deliver):
    order_id = ordered(world)
    world.pay(order_id)
    fake.client().v1.payment_intents.cancel(stripe_id(world, order_id))

    deliver("payment_intent.canceled")

    assert status_and_events(world, order_id) == ("cancelled", ["PaymentAuthorized", "PaymentFailed"])


def test_charge_refunded_leads_to_a_refund(world, deliver):
    order_id = world.bought()
    world.refund_at_stripe(order_id)

    deliver("charge.refunded")

    assert status_and_events(world, order_id) == ("refunded", ["PaymentRefunded"])


def test_dispute_created_is_recorded_and_raises_an_alarm(world, fake, deliver):
    order_id = world.bought()
    fake.control("disputes", payment_intent=stripe_id(world, order_id))

    deliver("charge.dispute.created")

    assert world.payment(order_id).dispute["status"] == "needs_response"
    assert world.store.counts()["alarms_dispute_opened"] == 1


def test_a_dispute_raises_one_alarm_however_often_it_is_reported_and_whatever_fails_meanwhile(world, fake):
    order_id = world.bought()
    fake.control("disputes", payment_intent=stripe_id(world, order_id))
    webhook = world.webhook(order_id, "charge.dispute.created")
    fake.control("faults", kind="error", path="/v1/payment_intents/pi_*", status=503, count=3)
    world.reconciler.receive(webhook)
    for _ in range(5):
        world.ahead += timedelta(seconds=11)
        world.reconciler.run()

    world.reconciler.receive(webhook)

    assert world.store.counts()["alarms_dispute_opened"] == 1


def test_a_dispute_that_no_webhook_reports_raises_an_alarm_once_it_is_found(world, fake):
    order_id = world.bought()
    fake.control("disputes", payment_intent=stripe_id(world, order_id))

    for _ in range(2):
        world.audit.run()

    assert world.store.counts()["alarms_dispute_opened"] == 1


def test_an_inquiry_that_becomes_a_dispute_raises_another_alarm(world, fake, deliver):
    order_id = world.bought()
    inquiry = fake.control("disputes", payment_intent=stripe_id(world, order_id), inquiry=True)
    deliver("charge.dispute.created")
    fake.control("disputes", dispute=inquiry["id"], status="needs_response")

    deliver("charge.dispute.updated")

    assert world.store.counts()["alarms_dispute_opened"] == 2


@pytest.mark.parametrize(("end", "events"), [("lost", ["PaymentRefunded"]), ("won", [])])
def test_dispute_closed_leads_to_who_has_the_money(world, fake, deliver, end, events):
    order_id = world.bought()
    dispute = fake.control("disputes", payment_intent=stripe_id(world, order_id))
    deliver("charge.dispute.created")
    fake.control("disputes", dispute=dispute["id"], status=end)

    deliver("charge.dispute.closed")

    assert disputes.is_lost(world.payment(order_id).dispute) == (end == "lost")
    assert status_and_events(world, order_id) == ("captured", events)


def status_and_events(world, order_id):
    """Return the payment's status, and the events that wait to be published."""
    stored = world.store.payments.collection.find_one({"_id": order_id})
    return stored["status"], [pending["name"] for pending in stored["outbox"]]


def test_refund_failed_settles_the_payment(world, service):
    order_id = world.bought()
    world.refund_at_stripe(order_id)
    about = {"object": "refund", "id": "re_1", "payment_intent": stripe_id(world, order_id)}

    receive(service, {"id": "evt_1", "type": "refund.failed", "livemode": False, "data": {"object": about}})

    assert status_and_events(world, order_id) == ("refunded", ["PaymentRefunded"])


def test_a_webhook_of_another_type_is_counted_and_not_stored(world, service):
    event = {"id": "evt_1", "type": "customer.created", "livemode": False, "data": {"object": {"object": "customer"}}}

    receive(service, event)

    assert world.store.counts() == {"webhooks_of_other_types": 1}
    assert world.store.inbox.collection.count_documents({}) == 0


def test_a_live_key_refuses_events_of_test_mode_and_takes_either_secret():
    webhooks = webhook_reader(LIVE_KEYS)
    about = {"object": "payment_intent", "id": "pi_1"}
    event = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": about}}

    def read(is_live, secret):
        body = json.dumps({**event, "livemode": is_live})
        return webhooks.read(body, stripe.WebhookSignature.generate_signature_header(body, secret))

    assert [read(True, secret).stripe_id for secret in ("whsec_1", "whsec_2")] == ["pi_1", "pi_1"]
    with pytest.raises(InvalidSignature, match="other mode"):
        read(False, "whsec_1")
