"""A few of the races again, with two processes of payments and one of orders."""

import os
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest

from dev.testing import wait_for
from libs.clock import utc_now
from libs.rpc import RemoteError
from tests.money.test_races import at_once

ROUNDS = 20 if int(os.environ.get("MONEY_ROUNDS", "5")) >= 100 else 3
ENDED = ("complete", "cancelled")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def two(shop):
    with shop.payments(), shop.payments():
        yield shop


def refusable(action):
    def run():
        with suppress(RemoteError):
            action()

    return run


def pay_and_pay(shop, order_id):
    return [partial(shop.pay, order_id, timeout=20)] * 2


def pay_and_cancel(shop, order_id):
    return [partial(shop.pay, order_id, timeout=20), partial(shop.call, "orders.cancel", order_id=order_id)]


def pay_and_expire(shop, order_id):
    soon = utc_now() + timedelta(seconds=0.2)
    return [partial(shop.pay, order_id, timeout=20), partial(shop.expire, order_id, soon)]


@pytest.mark.parametrize("actions", [pay_and_pay, pay_and_cancel, pay_and_expire])
def test_two_instances_charge_once(two, actions):
    order_ids = [two.reserve() for _ in range(ROUNDS)]

    for order_id in order_ids:
        at_once([refusable(action) for action in actions(two, order_id)])

    wait_for(lambda: all(two.world.order(one).status in ENDED for one in order_ids), 60, "the orders to end")
    wait_for(lambda: two.faults() == [], 30, "the money to be right")
