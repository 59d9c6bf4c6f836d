"""Orders and payments inside this process, on a real MongoDB and a fake Stripe; threads deliver their events.

The services' own code (stores, domain, settlement, checkout, reconciler) is used as it is. Only the transport of events
and calls between them is replaced, by one that delivers in any order and now and then twice.
"""

import json
import random
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from dev.fake_stripe.testing import PUBLISHABLE_KEY, SECRET_KEY
from libs.clock import iso, utc_now
from libs.contracts.events import CATALOGUE
from libs.contracts.stripe_webhooks import SUBSCRIBED_TYPES
from libs.events import VersionConflict
from libs.events.anti_entropy import PAGE, AntiEntropy, rpc_source, stale_in
from libs.schema import migrate
from orders import domain as orders_domain
from orders.service import OrdersService
from orders.store import OrderStore, new_id
from payments.audit import Audit
from payments.card_provider import CardProvider
from payments.checkout import Checkout
from payments.order_copies import copy_order
from payments.outcomes import Outcomes
from payments.reconciler import Reconciler
from payments.recording import recorded_status
from payments.settlement import Settlement
from payments.store import PaymentStore
from payments.webhooks import Webhook

PRICE = 1999


class Inline(Outcomes):
    """Settles in the caller's own thread, so that a test sees the effects of what it injects."""

    def _settle(self, order_ids, deadline):
        waiting, settled = deque(order_ids), deque()
        while waiting:
            self._settle_next(waiting, settled)
        return list(settled)


def migrate_both(payments_db, orders_db):
    """Migrate the databases of a world."""
    for database, schema in ((payments_db, PaymentStore.schema), (orders_db, OrderStore.schema)):
        migrate(database, schema)


class World:
    """One seller's tickets, one buyer, and all movements of money, on migrated databases."""

    def __init__(self, payments_db, orders_db, fake):
        self.fake = fake
        self.store, self.orders = PaymentStore(payments_db), OrderStore(orders_db)
        self.ahead = timedelta(0)
        self.settlement = Settlement(self.store, CardProvider(SECRET_KEY, api_base=fake.url), self.now)
        self.checkout = Checkout(self.settlement, PUBLISHABLE_KEY)
        self.reconciler = Reconciler(self.settlement, begin=lambda work: work())
        self.audit = Audit(self.settlement)
        self.outcomes = Inline(self.settlement)
        self.service = OrdersService()
        self.service.store, self.service.services = self.orders, self
        self.payments_compared, self.orders_compared = AntiEntropy("orders.payments"), AntiEntropy("payments.orders")
        self.published, self.refunded_at_stripe = [], set()
        self.chance = random.Random(7)

    def close(self):
        for aggregates in (self.store.payments, self.orders.orders):
            aggregates.collection.database.client.close()

    def now(self):
        return utc_now() + self.ahead

    def reserve(self, seconds=900.0):
        """Return the id of a new order that its buyer begins to pay, so that payments has a copy of it."""
        order_id = self.place(seconds)
        self.copy(order_id)
        return order_id

    def place(self, seconds=900.0):
        """Return the id of a new order, which payments has not copied yet."""
        now = utc_now()
        ticket = {
            "id": new_id(), "title": "Hamlet", "price_cents": PRICE, "currency": "usd", "category": "stage",
            "venue": None, "starts_at": None, "seller_id": "ana", "withdrawn": False,
        }  # fmt: skip
        order = orders_domain.Order.place(new_id(), ticket, "bo", 1, now + timedelta(seconds=seconds), now)
        self.orders.add(order)
        return order.id

    def copy(self, order_id):
        """Let payments copy an order, as it does before its buyer pays."""
        copy_order(self.store, order_id, self.ask_orders, self.now())

    def ask_orders(self, order_id):
        """Answer payments, which asks for an order."""
        return CATALOGUE["OrderCreated"].load(self.orders.get(order_id).snapshot())

    def pay(self, order_id, card="tok_visa"):
        return self.checkout.pay(order_id, "bo", card)

    def bought(self):
        """Return the id of an order that is paid for and complete."""
        order_id = self.reserve()
        self.pay(order_id)
        self.come_to_rest()
        return order_id

    def cancel(self, order_id):
        return self.change(order_id, lambda order: order.cancel("bo", utc_now()))

    def expire(self, order_id):
        """Expire an order if it is overdue and payments, which is asked first, reports it as unpaid."""
        self.service.on_expiration_complete({"order_id": order_id})

    def call(self, service, method, arguments, timeout=0.0):
        """Answer a call of orders to payments, or the reverse, in the form that it has on the wire."""
        answers: dict[str, Any] = {
            "payments.settle_all": lambda order_ids: self.outcomes.find(order_ids),
            "payments.versions": lambda after: self.store.published_versions(after, PAGE),
            "payments.changes": lambda after: self.store.published_changes(after, PAGE),
            "payments.snapshots": lambda ids: [payment.snapshot() for payment in self.store.find_all(ids)],
            "orders.versions": lambda after: self.orders.orders.versions(after, PAGE),
            "orders.changes": lambda after: self.orders.orders.changes(after, PAGE),
            "orders.snapshots": lambda ids: [order.snapshot() for order in self.orders.get_all(ids)],
        }
        return json.loads(json.dumps(answers[f"{service}.{method}"](**arguments), default=iso))

    def compare(self):
        """Compare the copies of orders and payments of each other, as their timers do; return those that were old."""
        payments = self.store.payments.collection
        stale = stale_in(payments, "order.version", is_partial=True)
        orders = rpc_source(self.call, CATALOGUE["OrderCreated"], payments.database, stale, self.settlement.apply_order)
        for database in (payments.database, self.orders.orders.collection.database):
            database.comparisons.update_many({}, {"$unset": {"due_at": 1}})  # as much time has passed
        return self.payments_compared.run(self.service._payments()) + self.orders_compared.run(orders)

    def change(self, order_id, change):
        while True:
            order = self.orders.get(order_id)
            event = change(order)
            try:
                if event:
                    self.orders.save(order, event)
                return order
            except VersionConflict:
                continue

    def refund_at_stripe(self, order_id, **some):
        """Refund an order, or a part of it, as Stripe's dashboard does."""
        self.refunded_at_stripe.add(order_id)
        return self.fake.control("refunds", payment_intent=self.payment(order_id).stripe_id, **some)

    def payment(self, order_id):
        return self.store.get(order_id)

    def order(self, order_id):
        return self.orders.get(order_id)

    def webhook(self, order_id, kind="payment_intent.succeeded"):
        """Return a webhook about the order's PaymentIntent."""
        return Webhook(f"evt_{new_id()}", kind, self.payment(order_id).stripe_id, order_id)

    def receive(self, event):
        """Receive a webhook as Stripe sent it; return the status to answer with."""
        about = event.data.object.to_dict()
        stripe_id = about["id"] if about["object"] == "payment_intent" else about.get("payment_intent")
        if event.type in SUBSCRIBED_TYPES:
            self.reconciler.receive(Webhook(event.id, event.type, stripe_id, None))
        return 200

    def deliver_outboxes(self):
        """Deliver the events in the outboxes once, some of them twice; return their number."""
        waiting = [
            (aggregates.collection, found["_id"], pending)
            for aggregates in (self.store.payments, self.orders.orders)
            for found in aggregates.collection.find({"outbox.0": {"$exists": True}})
            for pending in found["outbox"]
        ]
        self.chance.shuffle(waiting)
        for collection, ident, pending in waiting:
            for _ in range(2 if self.chance.random() < 0.1 else 1):
                self.deliver(pending)
            self.published.append((f"{collection.name}:{pending['id'].partition(':')[2]}", str(pending["body"])))
            collection.update_one({"_id": ident}, {"$pull": {"outbox": {"id": pending["id"]}}})
        return len(waiting)

    def deliver(self, pending):
        body = CATALOGUE[pending["name"]].load(pending["body"])
        if "order_id" in body:
            self.service.on_payment(body)
        else:
            self.settlement.apply_order(body)

    @contextmanager
    def running(self, deliverers=3):
        """Deliver events while the block runs, by several threads at once."""
        over = threading.Event()

        def run():
            while not over.is_set():
                with suppress(VersionConflict):
                    if not self.deliver_outboxes():
                        time.sleep(0.002)

        threads = [threading.Thread(target=run, daemon=True) for _ in range(deliverers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(30)

    def come_to_rest(self):
        """Do all work that is left, as the timers would sooner or later."""
        for _ in range(20):
            for order in self.orders.list_overdue(utc_now(), 1000):
                self.expire(order.id)
            for found in self.store.payments.find_all({"stripe_id": {"$ne": None}}):
                self.settlement.settle(found["id"])
            for found in self.store.payments.find_all({"creating_at": {"$ne": None}}):
                self.settlement.settle(found["id"])
            if not self.deliver_outboxes():
                return
        raise AssertionError("the outboxes never empty")

    def rest_alone(self):
        """Let minutes pass without clicks and webhooks: only events, the sweep and the reconciler act."""
        for _ in range(20):
            self.ahead += timedelta(seconds=61)
            for order in self.orders.list_overdue(utc_now(), 1000):
                self.expire(order.id)
            self.reconciler.run()
            if not self.deliver_outboxes():
                return
        raise AssertionError("the outboxes never empty")

    def faults(self):
        """Return what is wrong with the money, once at rest, as sentences."""
        intents, holders = {}, Counter()
        for intent in self.fake.ledger():
            intents.setdefault(intent["order_id"], []).append(intent)
        for found in self.orders.orders.find_all({}):
            order = self.orders.get(found["id"])
            holders[order.ticket["id"]] += order.is_live
            yield from self.faults_of(order, intents.get(order.id, []))
        if max(holders.values(), default=0) > 1:
            yield f"{max(holders.values())} orders hold one ticket"
        for version, count in Counter(ident for ident, _ in set(self.published)).items():
            if count > 1:
                yield f"{version} was published with {count} different contents"

    def faults_of(self, order, intents):
        charges = [charge for intent in intents for charge in intent["charges"] if charge["captured"]]
        refunds = [refund for charge in charges for refund in charge["refunds"]]
        net = sum(charge["captured"] - charge["refunded"] for charge in charges)
        who = f"order {order.id} ({order.status})"
        # one that lost is cancelled, and no card was tried on it
        count = max(1, sum(bool(one["charges"]) or one["status"] != "canceled" for one in intents))
        if count > 1 or len(charges) > 1 or len(refunds) > 1:
            yield f"{who} has {count} intents, {len(charges)} charges, {len(refunds)} refunds"
        if order.status == "awaiting_payment":
            yield f"{who} waits for ever"
        if order.status == "complete" and order.refunded_at is None and net != PRICE:
            yield f"{who} was paid {net}"
        given_back = bool(charges) and (net <= 0 or self.lost(intents))
        yield from self.untrue_marks(order, given_back, refunds)
        if order.status != "complete" and net:
            yield f"{who} kept {net}"
        if order.status == "cancelled" and any(one["status"] not in ("canceled", "succeeded") for one in intents):
            yield f"{who} can still be charged: {intents[0]['status']}"
        payment = self.store.find(order.id)
        if payment and payment.stripe_id:
            at_stripe = recorded_status(self.settlement.cards.retrieve(payment.stripe_id))
            if payment.status != at_stripe or payment.confirming_at:
                yield f"{who} has a payment {payment.status}, confirming {payment.confirming_at}; at Stripe {at_stripe}"

    def untrue_marks(self, order, given_back, refunds):
        """Yield errors of the mark that an order was refunded, and of refunds that nobody requested."""
        who, is_asked = f"order {order.id} ({order.status})", order.id in self.refunded_at_stripe
        if order.refunded_at is not None and not given_back:
            yield f"{who} is marked as refunded and was not"
        if order.status == "complete" and given_back and order.refunded_at is None:
            yield f"{who} is not marked as refunded and was"
        if order.status == "complete" and refunds and not (is_asked or self.payment(order.id).refund):
            yield f"{who} was refunded, for which nobody had asked"

    def lost(self, intents):
        """Whether the cardholder won a dispute about one of these."""
        disputes = self.fake.client().v1.disputes
        disputed = [one for one in intents if any(charge["disputed"] for charge in one["charges"])]
        found = [disputes.list({"payment_intent": one["payment_intent"]}).data[0] for one in disputed]
        return any(dispute.status == "lost" for dispute in found)
