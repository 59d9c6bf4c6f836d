import json
import time
from dataclasses import replace
from datetime import timedelta

import pytest
import stripe

from dev.fake_stripe.testing import SECRET_KEY
from dev.testing import wait_for
from gateway.tests.conftest import app, client, revocations, services  # noqa: F401 - fixtures
from libs import context, tracing
from payments.card_provider import CardProvider, IntentMissing
from payments.errors import InvalidSignature, StripeUnavailable
from payments.webhooks import Webhook, WebhookReader
from tests.money.buyer import paid_in_the_browser

SECRET = "whsec_1"
EVENT = {
    "id": "evt_1",
    "type": "payment_intent.succeeded",
    "livemode": False,
    "data": {"object": {"object": "payment_intent", "id": "pi_1", "metadata": {"order_id": "o1"}}},
}
ODD_BODIES = ['{"a": "é\u2028𝄞\\u0000"}\r\n', "\ufeff{}", " {\n}\t", '{"a":1.0e5,"b":"\\/"}', ""]


def signed(body, secret=SECRET, at=None):
    return stripe.WebhookSignature.generate_signature_header(body, secret, at)


def read(event, secrets=SECRET, is_live=False, **options):
    body = json.dumps(event)
    return WebhookReader(secrets, is_live).read(body, signed(body, **options))


@pytest.mark.parametrize("body", ODD_BODIES)
def test_the_bytes_that_arrived_are_what_is_verified(client, services, body):  # noqa: F811
    client.post("/api/webhooks/stripe", data=body.encode(), headers={"Stripe-Signature": "good"})

    name, arguments = services.calls[-1]
    assert name == "payments.receive_webhook"
    assert json.loads(json.dumps(arguments))["payload"].encode() == body.encode()


def test_a_body_that_is_not_utf_8_is_refused(client):  # noqa: F811
    answer = client.post("/api/webhooks/stripe", data=b"\xff\xfe{}", headers={"Stripe-Signature": "good"})

    assert answer.status_code == 400


def test_a_signed_event_names_the_payment_intent_to_look_at():
    assert read(EVENT) == Webhook("evt_1", "payment_intent.succeeded", "pi_1", "o1")


def test_a_charge_or_a_dispute_leads_to_its_payment_intent():
    about = {"object": "dispute", "id": "dp_1", "payment_intent": "pi_1", "metadata": {}}

    assert read({**EVENT, "data": {"object": about}}).stripe_id == "pi_1"


@pytest.mark.parametrize("secret", ["whsec_new", SECRET])
def test_either_of_two_secrets_is_valid_while_they_are_rotated(secret):
    assert read(EVENT, secrets=f"whsec_new, {SECRET}", secret=secret).id == "evt_1"


def test_an_event_signed_just_under_five_minutes_ago_is_valid():
    assert read(EVENT, at=int(time.time()) - 290).id == "evt_1"


def test_an_event_signed_by_a_clock_that_is_just_under_five_minutes_fast_is_valid():
    assert read(EVENT, at=int(time.time()) + 290).id == "evt_1"


@pytest.mark.parametrize("age", [302, 86400, -302, -86400])
def test_an_event_signed_more_than_five_minutes_ago_or_from_now_is_refused(age):
    with pytest.raises(InvalidSignature, match="more than five minutes before or after now"):
        read(EVENT, at=int(time.time()) - age)


@pytest.mark.parametrize("signature", ["", "t=1", "v1=00", "t=1,v1=é", "t=x,v1=00", "t=99999999999,v1=00"])
def test_anything_but_a_valid_signature_is_refused(signature):
    with pytest.raises(InvalidSignature, match="signature is not valid"):
        WebhookReader(SECRET, is_live=False).read(json.dumps(EVENT), signature)


@pytest.mark.parametrize(("is_live", "livemode"), [(True, False), (False, True)])
def test_an_event_of_the_other_mode_is_refused(is_live, livemode):
    with pytest.raises(InvalidSignature, match="other mode"):
        read({**EVENT, "livemode": livemode}, is_live=is_live)


@pytest.mark.parametrize("event", [[], {}, {**EVENT, "data": None}, {**EVENT, "data": {"object": []}}])
def test_a_signed_body_that_is_no_event_is_refused(event):
    with pytest.raises(InvalidSignature):
        read(event)


def test_a_webhook_that_cannot_be_settled_now_is_settled_later(world, fake):
    order_id = paid_in_the_browser(world, fake)
    fake.control("faults", kind="error", path="/v1/payment_intents/pi_*", status=503, count=4)

    world.reconciler.receive(world.webhook(order_id))
    assert world.payment(order_id).status == "open"
    world.ahead += timedelta(minutes=1)
    fake.control("faults", method="DELETE")
    world.reconciler.run()

    assert world.payment(order_id).status == "authorized"
    assert world.store.inbox.collection.count_documents({"waiting": True}) == 0


def test_what_a_webhook_leads_to_later_has_the_correlation_id_of_the_request_that_delivered_it(world, fake):
    order_id = paid_in_the_browser(world, fake)
    fake.control("faults", kind="error", path="/v1/payment_intents/pi_*", status=503, count=4)
    world.reconciler.receive(replace(world.webhook(order_id), correlation_id="request-of-stripe"))
    fake.control("faults", method="DELETE")
    world.ahead += timedelta(minutes=1)

    world.reconciler.run()

    stored = world.store.payments.collection.find_one({"_id": order_id})
    assert [pending["correlation_id"] for pending in stored["outbox"]] == ["request-of-stripe"]


def test_a_webhook_has_the_correlation_id_of_the_request_that_delivers_it():
    with context.work("request-of-stripe"):
        assert read(EVENT).correlation_id == "request-of-stripe"


def test_a_repeated_webhook_changes_nothing(world, fake):
    order_id = paid_in_the_browser(world, fake)
    webhook = world.webhook(order_id)
    world.reconciler.receive(webhook)
    before = world.payment(order_id)

    for _ in range(3):
        world.reconciler.receive(webhook)

    assert world.payment(order_id) == before


def test_a_webhook_about_no_payment_of_ours_is_counted(world):
    world.reconciler.receive(Webhook("evt_1", "payment_intent.succeeded", "pi_of_a_stranger", None))

    assert world.store.counts() == {"webhooks_unknown": 1}


def test_a_second_payment_intent_for_an_order_that_stripe_does_not_know_raises_an_alarm(world, caplog):
    order_id = world.bought()

    world.reconciler.receive(Webhook("evt_1", "payment_intent.succeeded", "pi_another", order_id))

    assert "ALARM unknown_intent" in caplog.text


def test_a_webhook_is_in_the_trace_of_the_payment_and_linked_to_the_request_that_delivers_it(world, fake, traced):
    with tracing.request_span("POST /orders/<order_id>/attempt", {}):
        order_id = paid_in_the_browser(world, fake)
        paid = tracing.traceparent()
    with tracing.request_span("POST /api/webhooks/stripe", {}):
        delivered = tracing.traceparent()
        world.reconciler.receive(world.webhook(order_id, "payment_intent.amount_capturable_updated"))

    received = traced.span("receive payment_intent.amount_capturable_updated")
    settled = traced.span("process payment_intent.amount_capturable_updated")
    sent = world.store.payments.outbox_of(order_id)[0]
    assert (received.trace, received.parent, received.links) == (paid[3:35], paid[36:52], [delivered[36:52]])
    assert settled.parent == received.id and traced.span("GET /v1/payment_intents/ID").parent == settled.id
    assert (sent["name"], sent["traceparent"][36:52]) == ("PaymentAuthorized", settled.id)


def test_a_webhook_that_reports_nothing_new_is_in_the_trace_of_the_payment_too(world, traced):
    with tracing.request_span("POST /api/payments", {}):
        order_id = world.bought()
        paid = tracing.traceparent()

    world.reconciler.receive(world.webhook(order_id))

    assert traced.span("receive payment_intent.succeeded").parent == paid[36:52]


def test_request_that_stripe_fails_is_an_error_in_the_trace_and_one_that_it_refuses_is_none(fake, traced):
    cards = CardProvider(SECRET_KEY, api_base=fake.url)
    fake.control("faults", kind="error", path="/v1/payment_intents/pi_1", status=503)
    with tracing.request_span("POST /api/payments", {}):
        for stripe_id in ("pi_1", "pi_2"):
            with pytest.raises((StripeUnavailable, IntentMissing)):
                cards.retrieve(stripe_id)

    failed, refused = wait_for(lambda: len(found := called(traced)) == 2 and found)
    assert (failed.is_error, failed.attributes["error.type"]) == (True, "503")
    assert (refused.is_error, refused.attributes["http.response.status_code"]) == (False, 404)


def called(traced):
    """Return the spans of reading PaymentIntents."""
    return [span for span in list(traced.spans) if span.name == "GET /v1/payment_intents/ID"]


def test_spans_of_a_payment_name_stripe_and_nothing_of_the_card_or_its_secrets(world, fake, traced):
    with tracing.request_span("POST /orders/<order_id>/attempt", {}):
        world.pay(world.reserve())
        order_id = paid_in_the_browser(world, fake)

    called, told = traced.span("POST /v1/payment_intents/ID/confirm"), str(traced.spans)
    assert called.attributes == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "http.response.status_code": 200,
    }
    assert [secret for secret in (order_id, "pi_", "pm_", "tok_", "_secret_", "sk_test") if secret in told] == []
