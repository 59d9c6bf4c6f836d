"""Every crash point of payments/crash_points.py in this process: die there; then nobody clicks, no webhook arrives.

test_crash_points.py does the same with real processes, for a few of them unless `make test-slow` runs it.
"""

import pytest

from payments import checkout, creation, order_copies, reconciler, refunds, settlement
from payments.crash_points import CrashPoint
from payments.refunds import refund
from tests.money.buyer import confirm
from tests.money.scenarios import Died, bought, deliver_all, expired, ordered
from tests.money.test_crash_points import BEFORE_THE_CHARGE


@pytest.fixture
def dying(monkeypatch):
    """Return what makes the worker that next passes a crash point die right there."""

    def dies_at(point):
        left = [point]

        def crash_point(passed):
            if passed in left:
                left.clear()
                raise Died

        for module in (order_copies, settlement, creation, checkout, refunds, reconciler):
            monkeypatch.setattr(module, "crash_point", crash_point)

    return dies_at


def pay(world, order_id):
    world.pay(order_id)
    deliver_all(world)


def cancel(world, order_id):
    world.cancel(order_id)
    deliver_all(world)


def form_opened(world):
    order_id = ordered(world)
    world.checkout.open_form(order_id, "bo")
    return order_id


def authorized(world):
    order_id = ordered(world)
    world.pay(order_id)
    return order_id


def confirmed(world):
    order_id = ordered(world)
    confirm(world, world.fake, order_id)
    return order_id


def request_refund(world, order_id):
    refund(world.settlement, order_id, "called off", "operator")


def receive(world, order_id):
    world.reconciler.receive(world.webhook(order_id))


AFTER_THE_CHARGE = (CrashPoint.CONFIRMED, CrashPoint.RECORDED, CrashPoint.CAPTURED)
LEFT_UNDONE = [
    *((point, ordered, pay, "cancelled", "cancelled") for point in BEFORE_THE_CHARGE),
    *((point, ordered, pay, "complete", "captured") for point in AFTER_THE_CHARGE),
    *(
        (point, prepare, cancel, "cancelled", "cancelled")
        for point in (CrashPoint.CANCELLED, CrashPoint.COPY_STORED)
        for prepare in (form_opened, authorized, confirmed)
    ),
    *(
        (point, bought, request_refund, "complete", "refunded")
        for point in (CrashPoint.REFUNDED, CrashPoint.REFUND_REQUESTED)
    ),
    (CrashPoint.WEBHOOK_STORED, confirmed, receive, "complete", "captured"),
]


@pytest.mark.parametrize(("point", "prepare", "act", "order_is", "payment_is"), LEFT_UNDONE)
def test_what_died_half_way_is_ended_without_a_click(world, dying, point, prepare, act, order_is, payment_is):
    order_id = prepare(world)
    dying(point)

    with pytest.raises(Died):
        act(world, order_id)
    for _ in range(3):
        world.rest_alone()

    payment = world.payment(order_id)
    assert payment.stripe_id and not payment.creating_at and not payment.confirming_at
    expired(world, order_id)
    world.rest_alone()
    assert (world.order(order_id).status, world.payment(order_id).status) == (order_is, payment_is)
    assert list(world.faults()) == []


def test_whoever_died_before_the_order_was_copied_has_begun_nothing(world, dying):
    order_id = world.place()
    dying(CrashPoint.OPENED)

    with pytest.raises(Died):
        world.copy(order_id)
    expired(world, order_id)
    world.rest_alone()
    world.compare()

    assert world.order(order_id).status == "cancelled"
    assert world.store.find(order_id) is None
    assert list(world.faults()) == []


def test_every_crash_point_is_tried():
    assert {point for point, *_ in LEFT_UNDONE} | {CrashPoint.OPENED} == set(CrashPoint)
