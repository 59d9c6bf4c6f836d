"""Every step of payments/crash_points.py: die right after it, start again, and the money is as it should be."""

import os
import threading

import pytest

from dev.testing import wait_for
from libs.rpc import ServiceUnavailable
from tests.money.buyer import CARD_OF_THE_BROWSER

IS_FULL = int(os.environ.get("MONEY_ROUNDS", "5")) >= 100
SAMPLE = (2, 5, 7, 9)

pytestmark = pytest.mark.timeout(120)


def steps(*numbers):
    left_out = pytest.mark.skip(reason="`make test-slow` walks every step")
    marks = {number: () if IS_FULL or number in SAMPLE else left_out for number in numbers}
    return pytest.mark.parametrize("step", [pytest.param(number, marks=marks[number]) for number in numbers])


def dies(shop, step, action):
    """Run payments until `action` makes it die after `step`."""
    with shop.payments(crash_at=step) as process:
        acting = threading.Thread(target=unanswered, args=(action,))
        acting.start()
        assert process.wait(20) == 137
        acting.join(20)


def unanswered(action):
    try:
        action()
    except ServiceUnavailable:
        return


@steps(1, 2, 3, 4)
def test_a_purchase_that_died_before_the_card_was_charged_is_paid_by_paying_again(shop, step):
    order_id = shop.reserve()

    dies(shop, step, lambda: shop.pay(order_id, timeout=2))
    with shop.payments():
        shop.pay_until_answered(order_id)
        shop.sees(order_id, "complete")

        assert shop.faults() == []


@steps(1, 2, 3, 4)
def test_a_purchase_that_died_before_the_card_was_charged_is_ended_without_a_click(shop, step):
    order_id = shop.reserve()

    dies(shop, step, lambda: shop.pay(order_id, timeout=2))
    shop.let_time_pass(order_id)
    with shop.payments():
        wait_for(lambda: is_certain(shop.world.payment(order_id)), 30, "the reconciler")
        shop.expire(order_id)
        wait_for(lambda: shop.world.payment(order_id).status == "cancelled", 30)

        assert shop.world.order(order_id).status == "cancelled"
        assert shop.faults() == []


def is_certain(payment):
    return payment.stripe_id and not payment.creating_at and not payment.confirming_at


@steps(5, 6, 7)
def test_a_purchase_that_died_after_the_card_was_charged_completes_by_itself(shop, step):
    order_id = shop.reserve()

    dies(shop, step, lambda: shop.pay(order_id, timeout=2))
    with shop.payments():
        shop.sees(order_id, "complete")

        assert shop.faults() == []


@pytest.mark.parametrize("is_authorized", [False, True])
@steps(8)
def test_what_was_cancelled_at_stripe_just_before_the_crash_is_known_after_it(shop, step, is_authorized):
    order_id = opened(shop)
    if is_authorized:
        authorize(shop, order_id)

    dies(shop, step, lambda: shop.call("orders.cancel", order_id=order_id))
    with shop.payments():
        wait_for(lambda: shop.world.payment(order_id).status == "cancelled", 30)

        assert shop.faults() == []


@pytest.mark.parametrize("asks_again", [True, False])
@steps(9, 10)
def test_a_refund_that_died_half_way_is_made_once_by_asking_again_or_without(shop, step, asks_again):
    order_id = shop.reserve()
    with shop.payments():
        shop.pay_until_answered(order_id)
        shop.sees(order_id, "complete")
    refund = {"order_id": order_id, "reason": "the show was called off", "by": "Olga"}

    dies(shop, step, lambda: shop.call("payments.refund", "operator", **refund, timeout=2))
    shop.let_time_pass(order_id)
    with shop.payments():
        if asks_again:
            assert shop.call("payments.refund", "operator", **refund)["status"] == "refunded"
        wait_for(lambda: shop.world.order(order_id).refunded_at, 30)

        assert shop.faults() == []


@steps(11)
def test_a_webhook_that_was_stored_just_before_the_crash_is_settled_after_it(shop, step):
    order_id = opened(shop)
    authorize(shop, order_id)

    dies(shop, step, lambda: shop.send_webhook(order_id))
    with shop.payments():
        shop.sees(order_id, "complete")

        assert shop.faults() == []


@pytest.mark.parametrize("is_authorized", [False, True])
@steps(12)
def test_an_order_whose_copy_was_kept_just_before_the_crash_is_settled_after_it(shop, step, is_authorized):
    order_id = opened(shop)
    if is_authorized:
        authorize(shop, order_id)

    dies(shop, step, lambda: shop.call("orders.cancel", order_id=order_id))
    with shop.payments():
        wait_for(lambda: shop.world.payment(order_id).status == "cancelled", 30)

        assert shop.faults() == []


def opened(shop):
    """Return an order with a PaymentIntent, of which no card was tried."""
    order_id = shop.reserve()
    with shop.payments():
        shop.call("payments.create_intent", order_id=order_id)
        wait_for(shop.rests)
    return order_id


def authorize(shop, order_id):
    """Let the buyer's card be authorized in the browser; no webhook tells of it."""
    stripe_id = shop.world.payment(order_id).stripe_id
    shop.fake.client().v1.payment_intents.confirm(stripe_id, {"payment_method": CARD_OF_THE_BROWSER})
