"""Payments dies after a request to Stripe and before it stored the outcome, while a card is authorized."""

import time

import pytest

from dev.testing import wait_for
from libs.clock import utc_now
from orders.domain import EXPIRE_ANYWAY_AFTER
from orders.service import SWEEP_SECONDS
from payments.crash_points import CrashPoint
from tests.money.test_crash_points import dies

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("end", ["cancel", "expire"])
def test_a_card_that_was_authorized_just_before_the_crash_is_voided_if_the_order_ended_meanwhile(shop, end):
    order_id = shop.reserve()
    dies(shop, CrashPoint.CONFIRMED, lambda: shop.pay(order_id, timeout=2))
    assert [intent["status"] for intent in shop.fake.ledger(order_id)] == ["requires_capture"]
    if end == "cancel":
        shop.call("orders.cancel", order_id=order_id)
    else:
        shop.expire(order_id, at=utc_now() - EXPIRE_ANYWAY_AFTER)
    shop.wait_for_status(order_id, "cancelled")

    with shop.payments():
        wait_for(lambda: shop.world.payment(order_id).status == "cancelled", 30)

        assert shop.faults() == []
        assert [intent["status"] for intent in shop.fake.ledger(order_id)] == ["canceled"]


def test_buyer_who_paid_just_before_the_crash_keeps_the_ticket_though_the_deadline_passed_meanwhile(shop):
    order_id = shop.reserve()
    dies(shop, CrashPoint.CONFIRMED, lambda: shop.pay(order_id, timeout=2))
    shop.expire(order_id)
    time.sleep(SWEEP_SECONDS + 1)
    assert shop.world.order(order_id).status == "created"

    with shop.payments():
        shop.wait_for_status(order_id, "complete")

        assert shop.faults() == []


def test_a_card_that_was_voided_just_before_the_crash_is_recorded_as_voided_after_it(shop):
    order_id = shop.reserve()
    dies(shop, CrashPoint.CONFIRMED, lambda: shop.pay(order_id, timeout=2))
    shop.call("orders.cancel", order_id=order_id)

    dies(shop, CrashPoint.CANCELLED, lambda: None)
    with shop.payments():
        wait_for(lambda: shop.world.payment(order_id).status == "cancelled", 30)

        assert shop.faults() == []


def test_a_card_that_was_captured_just_before_the_crash_is_captured_once(shop):
    order_id = shop.reserve()
    dies(shop, CrashPoint.CONFIRMED, lambda: shop.pay(order_id, timeout=2))

    dies(shop, CrashPoint.CAPTURED, lambda: None)
    with shop.payments():
        shop.wait_for_status(order_id, "complete")

        assert shop.faults() == []
