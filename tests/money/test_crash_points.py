"""Every crash point of payments/crash_points.py: die there, start again, and the money is as it should be."""

import os
import threading

import pytest

from dev.testing import wait_for
from libs.rpc import ServiceUnavailable
from payments.crash_points import CrashPoint
from tests.money.buyer import CARD_OF_THE_BROWSER

IS_FULL = int(os.environ.get("MONEY_ROUNDS", "5")) >= 100
SAMPLE = (CrashPoint.INTENT_CREATED, CrashPoint.CONFIRMED, CrashPoint.REFUNDED)
LEFT_OUT = () if IS_FULL else pytest.mark.skip(reason="`make test-slow` tries every point")
BEFORE_THE_CHARGE = (
    CrashPoint.CREATION_MARKED, CrashPoint.INTENT_CREATED, CrashPoint.INTENT_STORED, CrashPoint.ATTEMPT_MARKED,
)  # fmt: skip

pytestmark = pytest.mark.timeout(120)


def at(*points):
    marks = {point: () if point in SAMPLE else LEFT_OUT for point in points}
    return pytest.mark.parametrize("point", [pytest.param(point, marks=marks[point]) for point in points])


def dies(shop, point, action):
    """Run payments until `action` makes it die at `point`."""
    with shop.payments(crash_at=point) as process:
        acting = threading.Thread(target=unanswered, args=(action,))
        acting.start()
        assert process.wait(20) == 137
        acting.join(20)


def unanswered(action):
    try:
        action()
    except ServiceUnavailable:
        return


@at(*BEFORE_THE_CHARGE)
def test_a_purchase_that_died_before_the_card_was_charged_is_paid_by_paying_again(shop, point):
    order_id = shop.reserve()

    dies(shop, point, lambda: shop.pay(order_id, timeout=2))
    with shop.payments():
        shop.pay_until_answered(order_id)
        shop.wait_for_status(order_id, "complete")

        assert shop.faults() == []


@at(CrashPoint.OPENED)
def test_a_purchase_that_died_before_its_order_was_copied_is_paid_by_paying_again(shop, point):
    order_id = shop.world.place()

    dies(shop, point, lambda: shop.pay(order_id, timeout=2))
    with shop.payments():
        shop.pay_until_answered(order_id)
        shop.wait_for_status(order_id, "complete")

        assert shop.faults() == []


@at(*BEFORE_THE_CHARGE)
def test_a_purchase_that_died_before_the_card_was_charged_is_ended_without_a_click(shop, point):
    order_id = shop.reserve()

    dies(shop, point, lambda: shop.pay(order_id, timeout=2))
    shop.let_time_pass(order_id)
    with shop.payments():
        wait_for(lambda: is_certain(shop.world.payment(order_id)), 30, "the reconciler")
        shop.expire(order_id)
        wait_for(lambda: shop.world.payment(order_id).status == "cancelled", 30)

        assert shop.world.order(order_id).status == "cancelled"
        assert shop.faults() == []


def is_certain(payment):
    return payment.stripe_id and not payment.creating_at and not payment.confirming_at


@at(CrashPoint.CONFIRMED, CrashPoint.RECORDED, CrashPoint.CAPTURED)
def test_a_purchase_that_died_after_the_card_was_charged_completes_by_itself(shop, point):
    order_id = shop.reserve()

    dies(shop, point, lambda: shop.pay(order_id, timeout=2))
    with shop.payments():
        shop.wait_for_status(order_id, "complete")

        assert shop.faults() == []


@pytest.mark.parametrize("is_authorized", [False, True])
@at(CrashPoint.CANCELLED)
def test_what_was_cancelled_at_stripe_just_before_the_crash_is_recorded_after_it(shop, point, is_authorized):
    order_id = opened(shop)
    if is_authorized:
        authorize(shop, order_id)

    dies(shop, point, lambda: shop.call("orders.cancel", order_id=order_id))
    with shop.payments():
        wait_for(lambda: shop.world.payment(order_id).status == "cancelled", 30)

        assert shop.faults() == []


@pytest.mark.parametrize("requests_again", [pytest.param(True, marks=LEFT_OUT), False])
@at(CrashPoint.REFUNDED, CrashPoint.REFUND_REQUESTED)
def test_a_refund_that_died_half_way_is_made_once_whether_or_not_it_is_requested_again(shop, point, requests_again):
    order_id = shop.reserve()
    with shop.payments():
        shop.pay_until_answered(order_id)
        shop.wait_for_status(order_id, "complete")
    refund = {"order_id": order_id, "reason": "the show was called off"}

    dies(shop, point, lambda: shop.call("payments.refund", "operator", **refund, timeout=2))
    shop.let_time_pass(order_id)
    with shop.payments():
        if requests_again:
            assert shop.call("payments.refund", "operator", **refund)["status"] == "refunded"
        wait_for(lambda: shop.world.order(order_id).refunded_at, 30)

        assert shop.faults() == []


@at(CrashPoint.WEBHOOK_STORED)
def test_a_webhook_that_was_stored_just_before_the_crash_is_settled_after_it(shop, point):
    order_id = opened(shop)
    authorize(shop, order_id)

    dies(shop, point, lambda: shop.send_webhook(order_id))
    with shop.payments():
        shop.wait_for_status(order_id, "complete")

        assert shop.faults() == []


@pytest.mark.parametrize("is_authorized", [False, True])
@at(CrashPoint.COPY_STORED)
def test_an_order_whose_copy_was_stored_just_before_the_crash_is_settled_after_it(shop, point, is_authorized):
    order_id = opened(shop)
    if is_authorized:
        authorize(shop, order_id)

    dies(shop, point, lambda: shop.call("orders.cancel", order_id=order_id))
    with shop.payments():
        wait_for(lambda: shop.world.payment(order_id).status == "cancelled", 30)

        assert shop.faults() == []


def opened(shop):
    """Return an order with a PaymentIntent, of which no card was tried."""
    order_id = shop.reserve()
    with shop.payments():
        shop.call("payments.create_intent", order_id=order_id)
        wait_for(shop.is_idle)
    return order_id


def authorize(shop, order_id):
    """Let the buyer's card be authorized in the browser; no webhook arrives."""
    stripe_id = shop.world.payment(order_id).stripe_id
    shop.fake.client().v1.payment_intents.confirm(stripe_id, {"payment_method": CARD_OF_THE_BROWSER})
