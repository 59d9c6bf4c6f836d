"""Two PaymentIntents for one order: one of them loses, and ends."""

from contextlib import suppress
from datetime import timedelta

import pytest

from payments import errors
from payments.webhooks import Webhook
from tests.money.scenarios import (
    a_worker_creates_late_what_another_has_created,
    before_next,
    deliver_all,
    two_clicks_create_under_one_key,
)
from tests.money.test_audit import names
from tests.money.test_endless import TOO_LITTLE

ORPHAN = {"amount": 1999, "currency": "usd", "capture_method": "manual", "allowed_payment_method_types": ["card"]}


def statuses(world, order_id):
    """Return {PaymentIntent: its status at Stripe} of an order."""
    return {intent["payment_intent"]: intent["status"] for intent in world.fake.ledger(order_id)}


def made_by_a_dead_worker(world, order_id, card=None, captures=False):
    """Return the id of another PaymentIntent for the order, with nobody left who knows of it."""
    intents = world.fake.client().v1.payment_intents
    stripe_id = intents.create({**ORPHAN, "metadata": {"order_id": order_id}}).id
    if card:
        intents.confirm(stripe_id, {"payment_method": card})
    if captures:
        intents.capture(stripe_id)
    return stripe_id


def test_of_two_payment_intents_created_for_one_order_only_the_orders_own_can_still_be_paid(world):
    assert list(a_worker_creates_late_what_another_has_created(world, [])) == []

    [order_id] = [found["id"] for found in world.store.payments.find_all({})]
    ours = world.payment(order_id).stripe_id
    assert sorted(statuses(world, order_id).values()) == ["canceled", "succeeded"]
    assert statuses(world, order_id)[ours] == "succeeded"


def test_a_double_click_leaves_the_payment_intent_that_both_created_payable(world):
    assert list(two_clicks_create_under_one_key(world, [])) == []


def test_a_payment_intent_that_could_not_be_cancelled_at_once_is_cancelled_by_the_audit(world, fake):
    def fail_to_cancel():
        fake.control("faults", kind="error", path="*/cancel", status=503, stored=False)

    before_next(world.settlement.cards, "cancel", fail_to_cancel)
    for _ in a_worker_creates_late_what_another_has_created(world, []):
        pass
    [order_id] = [found["id"] for found in world.store.payments.find_all({})]
    before = sorted(statuses(world, order_id).values())

    report = world.audit.run()

    assert before == ["requires_payment_method", "succeeded"]
    assert sorted(statuses(world, order_id).values()) == ["canceled", "succeeded"]
    assert (report.settled, report.alarms) == ([order_id], [])


def test_a_payment_intent_that_stripe_fails_to_cancel_keeps_nothing_else_from_being_audited(world, fake):
    order_id, other = world.bought(), world.bought()
    stripe_id = made_by_a_dead_worker(world, order_id)
    world.refund_at_stripe(other)
    fake.control("faults", kind="error", path=f"/v1/payment_intents/{stripe_id}/cancel", status=500, stored=True)

    first = world.audit.run_if_due()
    refunded = world.payment(other).status
    world.ahead += timedelta(days=1)
    second = world.audit.run_if_due()

    assert (names(first), refunded) == (["unexpected_stripe_error"], "refunded")
    assert (names(second), statuses(world, order_id)[stripe_id]) == ([], "canceled")


@pytest.mark.parametrize("card", [None, "pm_card_visa"])
def test_a_payment_intent_that_a_dead_worker_left_is_cancelled_by_the_audit(world, card):
    order_id = world.bought()
    stripe_id = made_by_a_dead_worker(world, order_id, card)

    reports = [world.audit.run() for _ in range(2)]

    assert statuses(world, order_id)[stripe_id] == "canceled"
    assert [(report.settled, report.alarms) for report in reports] == [([order_id], []), ([], [])]
    assert world.order(order_id).status == "complete"


@pytest.mark.parametrize("card", [None, "pm_card_visa"])
def test_a_payment_intent_that_came_to_be_though_its_creation_was_refused_ends_with_the_order(world, fake, card):
    order_id = world.reserve()
    fake.control("faults", **TOO_LITTLE)
    with suppress(errors.PaymentRefused):
        world.checkout.open_form(order_id, "bo")
    fake.control("faults", method="DELETE")
    stripe_id = made_by_a_dead_worker(world, order_id, card)
    world.cancel(order_id)
    world.come_to_rest()

    report = world.audit.run()

    assert statuses(world, order_id) == {stripe_id: "canceled"}
    assert (report.settled, report.alarms) == ([order_id], [])


def test_what_was_captured_by_a_payment_intent_that_lost_is_refunded_with_an_alarm(world):
    order_id = world.bought()
    made_by_a_dead_worker(world, order_id, "pm_card_visa", captures=True)

    reports = [world.audit.run() for _ in range(2)]

    charges = [charge for intent in world.fake.ledger(order_id) for charge in intent["charges"]]
    assert sorted((charge["captured"], charge["refunded"]) for charge in charges) == [(1999, 0), (1999, 1999)]
    assert [names(report) for report in reports] == [["captured_orphan"], []]
    assert world.payment(order_id).status == "captured"


@pytest.mark.parametrize("captures", [False, True])
def test_a_webhook_about_a_payment_intent_that_lost_ends_it(world, captures):
    order_id = world.bought()
    stripe_id = made_by_a_dead_worker(world, order_id, "pm_card_visa", captures)

    for number in range(2):
        world.reconciler.receive(Webhook(f"evt_{number}", "payment_intent.succeeded", stripe_id, order_id))

    assert statuses(world, order_id)[stripe_id] == ("succeeded" if captures else "canceled")
    assert {name: count for name, count in world.store.counts().items() if name.startswith("alarms_")} == (
        {"alarms_captured_orphan": 1} if captures else {}
    )


def test_after_a_failed_creation_only_what_was_created_since_is_listed(world, fake):
    fake.control("search", lag=60)
    order_id, listed = world.reserve(), []
    fake.control("faults", kind="error", path="/v1/payment_intents", executed=True)
    with suppress(errors.StripeUnavailable):
        world.pay(order_id)
    find = world.settlement.cards.find
    world.settlement.cards.find = lambda order_id, since: listed.append(world.now() - since) or find(order_id, since)

    world.pay(order_id)
    deliver_all(world)

    assert listed[0] < timedelta(minutes=6)
    assert world.order(order_id).status == "complete"
    assert list(world.faults()) == []
