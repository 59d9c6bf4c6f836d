"""Races over one order's money, over and over: a sample in `make test`, 200 rounds of each in `make test-money`."""

import os
import threading
import time
import urllib.error
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from libs.events import VersionConflict
from orders import domain as orders_domain
from payments import card_provider, domain, settlement
from payments.domain import Step, decide
from payments.refunds import refund
from payments.store import PaymentStore
from tests.money.buyer import confirm

ROUNDS = int(os.environ.get("MONEY_ROUNDS", "5"))
AT_ONCE = 4
CARDS = ("tok_visa", "tok_visa", "pm_card_visa", "tok_chargeDeclined")
EXPECTED = (domain.Refused, orders_domain.Refused, VersionConflict, urllib.error.HTTPError)

pytestmark = [pytest.mark.usefixtures("webhooks"), pytest.mark.timeout(900)]


def race(world, actions, prepare=lambda: None, rounds=ROUNDS):
    """Run `actions(order_id)` of each round at once, several rounds side by side; return what is wrong at the end."""
    with world.running(), ThreadPoolExecutor(AT_ONCE) as rounds_at_once:
        list(rounds_at_once.map(lambda _: at_once(actions(prepare())), range(rounds)))
    world.come_to_rest()
    return list(world.faults())


def at_once(actions):
    gate, unexpected = threading.Barrier(len(actions)), []

    def run(action):
        gate.wait(30)
        try:
            with suppress(*EXPECTED):
                action()
        except Exception as error:  # noqa: BLE001 - raised again in the test's own thread
            unexpected.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if unexpected:
        raise unexpected[0]


def late(world, action, most=0.05):
    """Return the action, delayed by chance."""
    pause = world.chance.uniform(0, most)
    return lambda: (time.sleep(pause), action())


def reserve_briefly(world):
    """Return an order that can be paid for about as long as paying takes."""
    return world.reserve(world.chance.uniform(0.5, 5) * world.pace)


def pay_and_expire(world, order_id):
    """Pay so that the authorization comes about when the deadline does."""

    def expire():
        time.sleep(
            max(0, world.order(order_id).expires_at.timestamp() - time.time()) + world.chance.uniform(-0.01, 0.05)
        )
        world.expire(order_id)

    return [late(world, partial(world.pay, order_id)), expire]


def pay_twice(world, order_id):
    return [late(world, partial(world.pay, order_id, world.chance.choice(CARDS)), 0.01) for _ in range(2)]


def pay_and_cancel(world, order_id):
    return [partial(world.pay, order_id), late(world, partial(world.cancel, order_id), 8 * world.pace)]


def come_back_by_all_ways(world, order_id):
    confirm(world, world.fake, order_id)
    hint = world.hint(order_id)
    return [
        partial(world.reconciler.receive, hint),
        partial(world.till.refresh, order_id, "bo"),
        partial(world.reconciler.receive, hint),
        partial(world.settlement.settle, order_id),
    ]


def refund_by_all_ways(world, order_id):
    stripe_id = world.payment(order_id).stripe_id
    return [
        partial(refund, world.settlement, order_id, "called off", "operator"),
        partial(refund, world.settlement, order_id, "again", "operator"),
        late(world, partial(world.fake.control, "refunds", payment_intent=stripe_id), 0.02),
        partial(world.reconciler.receive, world.hint(order_id, "charge.refunded")),
    ]


def assert_both_happened(world):
    """Of many rounds some must be won by the one and some by the other, or there was no race."""
    ends = Counter(
        (found["status"], bool(world.payment(found["id"]).stripe_id)) for found in world.orders.orders.find_all({})
    )
    print("ended (status, with a PaymentIntent):", dict(ends))
    if ROUNDS >= 100:
        assert ends["complete", True] >= 5
        assert ends["cancelled", True] >= 5


def bought(world):
    """Return a complete order, bought while others carry the events."""
    order_id = world.reserve()
    world.pay(order_id)
    while world.order(order_id).status != "complete":
        time.sleep(0.005)
    return order_id


def test_paying_races_with_the_deadline(world):
    assert race(world, partial(pay_and_expire, world), partial(reserve_briefly, world)) == []
    assert_both_happened(world)


def test_paying_races_with_paying(world):
    assert race(world, partial(pay_twice, world), world.reserve) == []


def test_paying_races_with_cancelling(world):
    assert race(world, partial(pay_and_cancel, world), world.reserve) == []
    assert_both_happened(world)


def test_the_webhook_races_with_the_return_page_and_the_reconciler(world):
    assert race(world, partial(come_back_by_all_ways, world), world.reserve) == []


def test_a_refund_races_with_its_webhook_and_with_one_at_stripe(world):
    assert race(world, partial(refund_by_all_ways, world), partial(bought, world)) == []


# Planted mistakes: each has to be caught, or the rounds above prove nothing.


def test_rounds_catch_random_idempotency_keys(world, monkeypatch):
    monkeypatch.setattr(card_provider, "_key", lambda key: {"idempotency_key": uuid.uuid4().hex})

    faults = race(world, partial(pay_twice, world), world.reserve)

    assert any("intents" in fault for fault in faults)


def test_rounds_catch_an_authorization_that_is_not_voided(world, monkeypatch):
    def keeping(payment, intent, now):
        step = decide(payment, intent, now)
        return Step.REST if step is Step.CANCEL and payment.order["status"] == "cancelled" else step

    monkeypatch.setattr(settlement, "decide", keeping)

    faults = race(world, partial(pay_and_cancel, world), world.reserve)

    assert any("can still be charged" in fault for fault in faults)


def test_rounds_catch_a_write_that_compares_nothing(world, monkeypatch):
    monkeypatch.setattr(PaymentStore, "save", blind_save)

    faults = race(world, partial(come_back_by_all_ways, world), world.reserve)

    assert any("published with" in fault for fault in faults)


def blind_save(self, payment, event=""):
    """Save as PaymentStore does, whatever the document has become since it was read."""
    fields = {**vars(payment), "work_left": payment.has_work_left}
    update = {"$set": {name: value for name, value in fields.items() if name not in ("id", "order")}}
    if event:
        body = payment.public()
        pending = {"id": f"{event}:{payment.id}:{payment.version}", "name": event, "body": body}
        update["$push"] = {"outbox": {**pending, "version": payment.version, "correlation_id": ""}}
    self.payments.collection.update_one({"_id": payment.id}, update)
