"""Long random sequences of what people, banks, crashes and brokers do, one step at a time, on the real stores,
settlement and fake Stripe; after each of them the money is right once everything has come to rest.

Concurrency is tested in tests/protocol. HYPOTHESIS_PROFILE=money tries many more.
"""

import os
from contextlib import suppress
from datetime import timedelta

import pytest
import stripe
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.clock import utc_now
from libs.contracts.errors import DomainError
from libs.events import VersionConflict
from orders import domain as orders_domain
from orders.store import new_id
from payments import errors
from payments.reconciler import Reconciler
from payments.refunds import refund
from tests.money.buyer import confirm
from tests.money.world import PRICE

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "money"
SEQUENCES = settings(
    max_examples=1500 if IS_LONG else 20,
    stateful_step_count=50 if IS_LONG else 30,
    derandomize=not IS_LONG,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
CARDS = ("tok_visa", "tok_visa", "tok_chargeDeclined", "tok_threeDSecure2Required")
FAULTS = (
    {"status": 500, "executed": True},
    {"status": 500, "executed": False},
    {"status": 402, "type": "card_error", "code": "card_declined", "stored": True},
)
PATHS = ("/v1/payment_intents", "*/capture", "*/refunds", "*/cancel", "*/confirm")
LIVE = ("created", "awaiting_payment", "complete")
CARD_ERRORS = (DomainError, errors.StripeUnavailable, VersionConflict)
any_order = st.integers(0, 3)


class Died(BaseException):
    """A worker of payments crashes, whatever it was about to do."""


class Fuse:
    """Lets the worker crash, or lose a reply, after so many steps; a step is one call of the store or of Stripe."""

    def __init__(self):
        self.steps, self.after, self.error = None, False, Died

    def burn(self, step):
        """Return the result of a step, unless the fuse burns down before or after it."""
        if self.steps is None:
            return step()
        self.steps -= 1
        if self.steps > 0:
            return step()
        self.steps = None
        if self.after:
            step()
        raise self.error("by the test")


class Mortal:
    """A store or a card provider of which every call is a step."""

    def __init__(self, real, fuse):
        self.real, self.fuse = real, fuse

    def __getattr__(self, name):
        value = getattr(self.real, name)
        return (lambda *args, **kwargs: self.fuse.burn(lambda: value(*args, **kwargs))) if callable(value) else value


class Sequence(RuleBasedStateMachine):
    """One ticket, its buyers one after the other, and everything that may happen to them."""

    def __init__(self, world):
        super().__init__()
        self.world, self.fuse = world, Fuse()
        self.published, self.unacked, self.made, self.versions = [], [], [], {}
        for user in (world.settlement, world.settlement.creation):
            user.cards, user.store = Mortal(world.real_cards, self.fuse), Mortal(world.store, self.fuse)
        world.reconciler = Reconciler(world.settlement, begin=lambda work: work())
        world.published, world.ahead = [], timedelta(0)
        world.fake.control("reset")
        world.fake.control("search", lag=60)
        for collection in (*world.databases[0].list_collection_names(), *world.databases[1].list_collection_names()):
            for database in world.databases:
                database[collection].delete_many({})

    def order(self, number):
        return self.made[number % len(self.made)]

    def working(self, work):
        """Let a worker work until it is done, refuses, or dies."""
        with suppress(Died, *CARD_ERRORS):
            work()

    @initialize()
    def sell(self):
        self.reserve()

    @rule()
    def reserve(self):
        now, newest = utc_now(), self.world.orders.find_newest("hamlet")
        if newest and newest["status"] in LIVE:
            return
        ticket = {
            "id": "hamlet", "title": "Hamlet", "price_cents": PRICE, "currency": "usd", "category": "stage",
            "venue": None, "starts_at": None, "seller_id": "ana", "withdrawn": False,
        }  # fmt: skip
        number = newest["reservation_no"] + 1 if newest else 1
        order = orders_domain.Order.place(new_id(), ticket, "bo", number, now + timedelta(hours=1), now)
        self.world.orders.add(order)
        self.made.append(order.id)

    @rule(number=any_order, card=st.sampled_from(CARDS), crash=st.none() | st.tuples(st.integers(1, 9), st.booleans()))
    def pay(self, number, card, crash):
        order_id = self.known(number)
        if crash:
            self.crash_soon(*crash, Died)
        self.working(lambda: self.world.pay(order_id, card))

    @rule(number=any_order, card=st.sampled_from(["pm_card_visa", "pm_card_visa", "pm_card_chargeDeclined"]))
    def pay_in_the_browser(self, number, card):
        """The webhook is lost unless another rule delivers it."""
        order_id = self.known(number)
        with suppress(Died, *CARD_ERRORS, stripe.StripeError):
            confirm(self.world, self.world.fake, order_id, card)

    @rule(number=any_order, outcome=st.sampled_from(["complete", "fail"]))
    def answer_the_bank(self, number, outcome):
        payment = self.world.store.find(self.order(number))
        if payment and payment.stripe_id:
            self.world.fake.control("authenticate", payment_intent=payment.stripe_id, outcome=outcome)

    @rule(number=any_order)
    def capture_in_part_by_hand(self, number):
        payment = self.world.store.find(self.order(number))
        if payment and payment.stripe_id:
            with suppress(stripe.StripeError):
                part = {"amount_to_capture": PRICE // 4}
                self.world.fake.client().v1.payment_intents.capture(payment.stripe_id, part)

    @rule(begin=st.sampled_from(["pending", "succeeded"]))
    def let_refunds_begin(self, begin):
        self.world.fake.control("refunds", begin=begin)

    @rule()
    def end_refunds(self):
        with suppress(stripe.StripeError):
            for made in self.world.fake.client().v1.refunds.list({"limit": 100}).data:
                if made.status == "pending":
                    self.world.fake.control("refunds", refund=made.id, status="succeeded")

    def known(self, number):
        """Return the id of an order that payments has a copy of: it fetches one from orders before a buyer pays."""
        self.world.copy(self.order(number))
        return self.order(number)

    @rule(number=any_order, end=st.sampled_from(["cancel", "expire", "be late", "give up", "refund"]))
    def end(self, number, end):
        """The buyer cancels, the deadline passes, Stripe is unreachable for a day, or an operator refunds."""
        order_id, past = self.order(number), utc_now() - timedelta(seconds=1)
        with suppress(DomainError):
            if end == "cancel":
                self.world.cancel(order_id)
            elif end in ("expire", "be late"):
                self.world.change(order_id, lambda order: order.expire_now(past))
                if end == "expire":
                    self.working(lambda: self.world.expire(order_id))
            elif end == "give up":
                self.world.change(order_id, lambda order: order.give_up(utc_now()))
            else:
                self.working(lambda: refund(self.world.settlement, order_id, "rained off", "op"))

    def relay(self):
        """Publish what waits in the outboxes: from now on it may arrive at any time, in any order."""
        for aggregates in (self.world.store.payments, self.world.orders.orders):
            for found in aggregates.collection.find({"outbox.0": {"$exists": True}}):
                self.published += found["outbox"]
                self.unacked += found["outbox"]
                name = f"{aggregates.collection.name} {found['_id']}"
                self.world.published += [(f"{name}:{one['version']}", str(one["body"])) for one in found["outbox"]]
                aggregates.collection.update_one({"_id": found["_id"]}, {"$set": {"outbox": []}})

    @rule(data=st.data())
    def deliver(self, data):
        self.relay()
        if self.unacked:
            self.take(data.draw(st.sampled_from(self.unacked), label="event"))

    @rule(chance=st.randoms(use_true_random=False))
    def deliver_everything(self, chance):
        for _ in range(3):
            self.relay()
            for event in chance.sample(self.unacked, len(self.unacked)):
                self.take(event)

    @precondition(lambda self: self.unacked)
    @rule(data=st.data())
    def lose(self, data):
        """Purge a queue: no event brings this news any more."""
        self.unacked.remove(data.draw(st.sampled_from(self.unacked), label="lost event"))

    @rule()
    def compare(self):
        """Let orders and payments find what they know too little of each other."""
        self.working(self.world.compare)

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def deliver_again(self, data):
        self.take(data.draw(st.sampled_from(self.published), label="event"))

    def take(self, event):
        """Deliver an event; it is acknowledged only if its handler finished."""
        with suppress(Died, errors.StripeUnavailable, VersionConflict):
            self.world.deliver(event)
            if event in self.unacked:
                self.unacked.remove(event)

    @rule(number=any_order)
    def receive_a_webhook(self, number):
        if self.world.store.find(self.order(number)):
            self.working(lambda: self.world.reconciler.receive(self.world.webhook(self.order(number))))

    @rule()
    def reconcile(self):
        self.world.ahead += timedelta(minutes=2)
        self.world.fake.control("clock", advance=120)
        self.working(self.world.reconciler.run)

    @rule(steps=st.integers(1, 8), after=st.booleans(), error=st.sampled_from([Died, errors.StripeUnavailable]))
    def crash_soon(self, steps, after, error):
        self.fuse.steps, self.fuse.after, self.fuse.error = steps, after, error

    @rule(path=st.sampled_from(PATHS), fault=st.sampled_from(FAULTS))
    def let_stripe_fail_soon(self, path, fault):
        self.world.fake.control("faults", kind="error", path=path, **fault)

    @invariant()
    def no_version_goes_down(self):
        for aggregates in (self.world.store.payments, self.world.orders.orders):
            for found in aggregates.collection.find({}, {"version": 1}):
                before, key = self.versions.get((aggregates, found["_id"]), 0), (aggregates, found["_id"])
                assert found["version"] >= before
                self.versions[key] = found["version"]

    @invariant()
    def one_order_holds_the_ticket(self):
        held = self.world.orders.orders.collection.count_documents({"status": {"$in": LIVE}})
        assert held <= 1

    def teardown(self):
        """End all faults, bring everything to rest as the timers would, and check the money."""
        self.fuse.steps = None
        self.world.fake.control("faults", method="DELETE")
        self.let_refunds_begin("succeeded")
        self.end_refunds()
        self.come_to_rest()
        for number in range(len(self.made)):
            self.end(number, "expire")
        self.come_to_rest()

        assert list(self.world.faults()) == []
        assert {self.world.order(ident).status for ident in self.made} <= {"complete", "cancelled"}

    def come_to_rest(self):
        """Deliver what was not acknowledged or lost; comparing and the reconciler do the rest, nothing else settles."""
        for _ in range(30):
            self.relay()
            for event in list(self.unacked):
                self.take(event)
            self.reconcile()
            old = self.world.compare()
            left = self.world.store.payments.collection.count_documents({"work_left": True, "stripe_id": {"$ne": None}})
            open_payments = self.world.store.payments.collection.count_documents({"status": "open"})
            waiting = self.world.orders.orders.collection.count_documents({"outbox.0": {"$exists": True}})
            if not (self.unacked or waiting or old or left > open_payments):
                return
        raise AssertionError("it never comes to rest")


@pytest.mark.timeout(7200 if IS_LONG else 600)
def test_the_money_is_right_after_any_sequence(world, monkeypatch):
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.001)  # before the library repeats a request
    world.real_cards = world.settlement.cards
    world.databases = [store.collection.database for store in (world.store.payments, world.orders.orders)]

    run_state_machine_as_test(lambda: Sequence(world), settings=SEQUENCES)
