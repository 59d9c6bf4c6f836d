"""Races over one order's money, over and over: a sample in `make test`, 200 rounds of each in `make test-slow`."""

import os
import threading
import time
import urllib.error
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from libs.contracts.errors import DomainError
from libs.events import VersionConflict
from payments.refunds import refund
from tests.money import mutants
from tests.money.buyer import confirm
from tests.money.mutants import RANDOM_KEYS

ROUNDS = int(os.environ.get("MONEY_ROUNDS", "5"))
AT_ONCE = 4
LONGEST_PAUSE = 20
CARDS = ("tok_visa", "tok_visa", "pm_card_visa", "tok_chargeDeclined")
EXPECTED = (DomainError, VersionConflict, urllib.error.HTTPError)

pytestmark = [pytest.mark.usefixtures("webhooks"), pytest.mark.timeout(900)]


def race(world, actions, prepare=lambda: None, rounds=ROUNDS, duel=None):
    """Run `actions(order_id)` of each round at once, several rounds side by side; return what is wrong at the end.

    With a duel there are more rounds until either side has won often enough.
    """

    def run(_):
        order_id = prepare()
        at_once(actions(order_id))
        if duel:
            duel.learn(order_id)

    with world.running(), ThreadPoolExecutor(AT_ONCE) as rounds_at_once:
        list(rounds_at_once.map(run, range(rounds)))
        while duel and not duel.is_decided(rounds):
            list(rounds_at_once.map(run, range(AT_ONCE)))
    world.come_to_rest()
    return [*world.faults(), *(name for name in world.store.counts() if name.startswith("alarms_"))]


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


class Duel:
    """Paying against what ends the order, which starts later after it won, and sooner after it lost.

    So on a machine of any speed both win about as often.
    """

    def __init__(self, world):
        self.world, self.seconds, self.wins = world, 0.1, Counter()

    def pause(self):
        """Return how long to wait before ending the order."""
        return self.seconds * self.world.chance.uniform(0.8, 1.2)

    def reserve(self):
        """Return an order that can be paid for about as long as paying takes."""
        return self.world.reserve(self.pause())

    def pay_and_expire(self, order_id):
        def expire():
            left = self.world.order(order_id).expires_at.timestamp() - time.time()
            time.sleep(max(0, left + self.world.chance.uniform(-0.01, 0.05)))
            self.world.expire(order_id)

        return [late(self.world, partial(self.world.pay, order_id)), expire]

    def pay_and_cancel(self, order_id):
        def cancel():
            time.sleep(self.pause())
            self.world.cancel(order_id)

        return [partial(self.world.pay, order_id), cancel]

    def learn(self, order_id):
        """Note who won; without a PaymentIntent it was no race."""
        was_paid = self.world.order(order_id).status in ("awaiting_payment", "complete")
        self.seconds = min(LONGEST_PAUSE, self.seconds * (0.8 if was_paid else 1.25))
        if self.world.payment(order_id).stripe_id:
            self.wins[was_paid] += 1

    def is_decided(self, rounds):
        """Whether both won at least once in 20 rounds."""
        assert self.wins.total() < 20 * rounds + 200, f"one side always wins: {self.wins}"
        return min(self.wins[True], self.wins[False]) * 20 >= rounds


def pay_twice(world, order_id):
    return [late(world, partial(world.pay, order_id, world.chance.choice(CARDS)), 0.01) for _ in range(2)]


def settle_by_all_ways(world, order_id):
    confirm(world, world.fake, order_id)
    webhook = world.webhook(order_id)
    return [
        partial(world.reconciler.receive, webhook),
        partial(world.checkout.refresh, order_id, "bo"),
        partial(world.reconciler.receive, webhook),
        partial(world.settlement.settle, order_id),
    ]


def refund_by_all_ways(world, order_id):
    return [
        partial(refund, world.settlement, order_id, "called off", "operator"),
        partial(refund, world.settlement, order_id, "again", "operator"),
        late(world, partial(world.refund_at_stripe, order_id), 0.02),
        partial(world.reconciler.receive, world.webhook(order_id, "charge.refunded")),
    ]


def bought(world):
    """Return a complete order, bought while threads deliver the events."""
    order_id = world.reserve()
    world.pay(order_id)
    while world.order(order_id).status != "complete":
        time.sleep(0.005)
    return order_id


def test_paying_races_with_the_deadline(world):
    duel = Duel(world)

    assert race(world, duel.pay_and_expire, duel.reserve, duel=duel) == []


def test_paying_races_with_paying(world):
    assert race(world, partial(pay_twice, world), world.reserve) == []


def test_paying_races_with_cancelling(world):
    duel = Duel(world)

    assert race(world, duel.pay_and_cancel, world.reserve, duel=duel) == []


def test_the_webhook_races_with_the_return_page_and_the_reconciler(world):
    assert race(world, partial(settle_by_all_ways, world), world.reserve) == []


def test_a_refund_races_with_its_webhook_and_with_one_at_stripe(world):
    assert race(world, partial(refund_by_all_ways, world), partial(bought, world)) == []


# Mutants: races have to catch them sooner or later, or the rounds above prove nothing.


def is_caught(world, wrong, *racing, **options):
    """Whether the races find this fault, sooner or later."""
    found = (race(world, *racing, **options | {"rounds": AT_ONCE}) for _ in range(100))
    return any(wrong in fault for faults in found for fault in faults)


def test_races_catch_random_idempotency_keys(world, monkeypatch):
    RANDOM_KEYS["pi:"](monkeypatch, world)
    mutants.abandon_losers(monkeypatch, world)  # or those that lose are cancelled

    assert is_caught(world, "intents", partial(pay_twice, world), world.reserve)


def test_races_catch_an_authorization_that_is_not_voided(world, monkeypatch):
    mutants.NEVER_VOID(monkeypatch, world)
    duel = Duel(world)

    assert is_caught(world, "can still be charged", duel.pay_and_cancel, world.reserve, duel=duel)


def test_races_catch_a_write_that_compares_nothing(world, monkeypatch):
    mutants.save_blindly(monkeypatch, world)

    assert is_caught(world, "published with", partial(settle_by_all_ways, world), world.reserve)
