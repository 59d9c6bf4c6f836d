"""How often payments asks Stripe, and for how long it goes on asking."""

import time

import pytest

from libs import context
from payments import errors, retries
from tests.money.scenarios import deliver_all, ordered

CREATE, READ = "POST /v1/payment_intents", "GET /v1/payment_intents/pi"
CONFIRM, CAPTURE = "POST /v1/payment_intents/pi/confirm", "POST /v1/payment_intents/pi/capture"
WEBHOOKS = ("payment_intent.amount_capturable_updated", "payment_intent.succeeded")


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = FakeTime()
    monkeypatch.setattr(retries, "time", clock)
    return clock


def requests_to_stripe(world, order_id=None):
    """Return what Stripe was asked, without the PaymentIntent's id."""
    stripe_id = world.payment(order_id).stripe_id if order_id else None
    return [request.replace(stripe_id or "?", "pi") for request in world.fake.requests()]


def test_a_purchase_takes_three_requests_to_stripe(world):
    order_id = ordered(world)

    world.pay(order_id, "pm_card_visa")
    deliver_all(world)
    for kind in WEBHOOKS:
        world.reconciler.receive(world.webhook(order_id, kind))
    world.checkout.refresh(order_id, "bo")
    world.rest_alone()

    assert world.order(order_id).status == "complete"
    assert requests_to_stripe(world, order_id) == [CREATE, CONFIRM, CAPTURE]


def test_a_purchase_through_the_card_form_takes_four_besides_the_browsers_own(world, fake):
    order_id = ordered(world)

    world.checkout.open_form(order_id, "bo")
    attempt = world.checkout.announce(order_id, "bo")["attempt"]
    stripe_id = world.payment(order_id).stripe_id
    fake.client().v1.payment_intents.confirm(stripe_id, {"payment_method": "pm_card_visa"})
    world.checkout.refresh(order_id, "bo", answered=attempt)
    deliver_all(world)
    for kind in WEBHOOKS:
        world.reconciler.receive(world.webhook(order_id, kind))

    assert world.order(order_id).status == "complete"
    assert requests_to_stripe(world, order_id) == [CREATE, READ, CONFIRM, READ, CAPTURE]


def test_a_card_that_is_declined_is_read_and_its_declines_are_counted(world):
    order_id = ordered(world)

    with pytest.raises(errors.PaymentDeclined):
        world.pay(order_id, "pm_card_chargeDeclined")

    assert requests_to_stripe(world, order_id) == [CREATE, CONFIRM, READ, "GET /v1/charges"]


def test_paying_while_stripe_answers_500_all_the_time_ends_at_once(world, fake, clock):
    order_id = ordered(world)
    fake.control("faults", kind="error", status=500, stored=True, count=None)

    for _ in range(3):
        with pytest.raises(errors.StripeUnavailable):
            world.pay(order_id)

    search = "GET /v1/payment_intents/search"
    assert requests_to_stripe(world) == [CREATE, search, search, search, search]
    assert clock.now <= retries.LONGEST_SECONDS


@pytest.mark.parametrize("prepare", [ordered, "with a card form"])
def test_paying_while_stripe_has_locked_the_payment_intent_ends_within_seconds(world, fake, clock, prepare):
    order_id = ordered(world)
    if prepare != ordered:
        world.checkout.open_form(order_id, "bo")
    before = len(fake.requests())
    fault = {"status": 429, "type": "invalid_request_error", "code": "lock_timeout"}
    fake.control("faults", kind="error", count=None, **fault)

    with pytest.raises(errors.StripeUnavailable):
        world.pay(order_id)

    assert clock.now <= retries.LONGEST_SECONDS
    assert len(fake.requests()) - before <= 12


def test_no_card_is_charged_once_nobody_waits_for_the_outcome(world):
    order_id = ordered(world)

    for _ in range(2):
        with context.work(deadline=time.monotonic() - 0.1), pytest.raises(errors.StripeUnavailable):
            world.pay(order_id, "pm_card_visa")

    assert CONFIRM not in requests_to_stripe(world, order_id)
    assert world.payment(order_id).confirming_at is None
    assert world.pay(order_id, "pm_card_visa")["status"] == "authorized"


def test_a_request_that_stripe_did_not_answer_is_repeated_once(world, fake):
    order_id = ordered(world)
    fake.control("faults", kind="lost_reply", path="/v1/payment_intents")

    assert world.pay(order_id, "pm_card_visa")["status"] == "authorized"

    assert requests_to_stripe(world, order_id)[:2] == [CREATE, CREATE]
    assert len(fake.ledger(order_id)) == 1


def test_a_payment_that_ended_is_not_read_again_for_the_orders_last_event(world, fake):
    order_id = world.bought()
    before = fake.requests()

    world.settlement.apply_order(world.order(order_id).snapshot())

    assert fake.requests() == before
