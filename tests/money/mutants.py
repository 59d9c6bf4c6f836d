"""Mutants: mistakes in the services' own code, each of which a test has to catch. `patch` is pytest's monkeypatch."""

import uuid
from dataclasses import replace

import payments.store
from libs.events import Copies
from libs.events.anti_entropy import Source
from orders import domain as orders_domain
from orders.service import OrdersService
from payments import card_provider, settlement
from payments.creation import Creation
from payments.decisions import Step, decide
from payments.domain import Payment
from payments.intent import PaymentIntent
from payments.reconciler import Reconciler
from payments.settlement import Settlement
from payments.store import PaymentStore
from tests.money import world as world_of_money
from tests.protocol import switches
from tickets.domain import Ticket

key_as_it_is = card_provider._idempotent


def random_keys(prefix):
    """Send requests under another key each time, where it should be the one with this prefix."""

    def key(name):
        return key_as_it_is(uuid.uuid4().hex if name.startswith(prefix) else name)

    return lambda patch, world: patch.setattr(card_provider, "_idempotent", key)


def deciding(instead):
    """Replace settle's decisions by `instead(payment, intent)`, except where it returns None."""

    def decide_otherwise(payment, intent, now):
        return instead(payment, intent) or decide(payment, intent, now)

    return lambda patch, world: patch.setattr(settlement, "decide", decide_otherwise)


def never_void(payment, intent):
    voids = intent and payment.order["status"] == "cancelled" and intent.status not in ("succeeded", "canceled")
    return Step.WAIT if voids else None


def always_refund(payment, intent):
    return Step.REFUND if intent and intent.is_refundable else None


def refund_incomplete(payment, intent):
    return Step.REFUND if intent and intent.is_refundable and payment.order["status"] != "complete" else None


def refundable_again(patch, world):
    patch.setattr(PaymentIntent, "is_refundable", property(lambda intent: intent.status == "succeeded"))


def save_blindly(patch, world):
    patch.setattr(PaymentStore, "save", blind_save)


def blind_save(self, payment, event=""):
    """Save as PaymentStore does, even if the document has changed since it was read."""
    fields = {**vars(payment), "work_left": payment.has_work_left}
    update = {"$set": {name: value for name, value in fields.items() if name not in ("id", "order")}}
    if event:
        body = payment.snapshot()
        pending = {"id": f"{event}:{payment.id}:{payment.version}", "name": event, "body": body}
        update["$push"] = {"outbox": {**pending, "version": payment.version, "correlation_id": ""}}
    self.payments.collection.update_one({"_id": payment.id}, update)


def update_work_left_blindly(patch, world):
    """Take a payment off the reconciler's list even if it has changed since it was read."""

    def update_work_left(self, payment):
        self.payments.collection.update_one({"_id": payment.id}, {"$set": {"work_left": payment.has_work_left}})

    patch.setattr(PaymentStore, "update_work_left", update_work_left)


def never_update_work_left(patch, world):
    patch.setattr(payments.store, "_work_left", lambda payment: {"$set": {"work_left": True}})


def believe_replies(patch, world):
    """Take every reply to a capture for a success, even if this request captured nothing."""

    def capture(self, payment, intent):
        following = capture_as_it_is(self, payment, intent)
        return following and (payment, replace(intent, status="succeeded"))

    capture_as_it_is = Settlement._capture
    patch.setattr(Settlement, "_capture", capture)


def believe_replays(patch, world):
    """Take a reply for the PaymentIntent as it is now, though Stripe replays it."""
    patch.setattr(card_provider.CardProvider, "_own", lambda self, found, status: self._reply(found))


def abandon_losers(patch, world):
    patch.setattr(Creation, "_cancel_if_lost", lambda self, order_id, stripe_id: None)


def cancel_without_comparing(patch, world):
    """Cancel a PaymentIntent that could not be stored, though the order may have the same."""
    patch.setattr(Creation, "_cancel_if_lost", lambda self, order_id, stripe_id: self.cards.cancel(stripe_id))


def apply_only_news(patch, world):
    patch.setattr(PaymentStore, "apply_order", switches.apply_only_news)


def never_reconcile(patch, world):
    patch.setattr(Reconciler, "run", lambda self: None)


def create_and_confirm(patch, world):
    """Let one call create a PaymentIntent and charge the card, before anything is stored."""

    def create(self, payment, begins_attempt=False):
        params = {
            "amount": payment.amount_cents, "currency": payment.currency, "capture_method": "manual",
            "allowed_payment_method_types": ["card"], "metadata": {"order_id": payment.id},
            "payment_method": "pm_card_visa", "confirm": True,
        }  # fmt: skip
        payment.stripe_id = world.fake.client().v1.payment_intents.create(params).id
        payment.mark_changed(world.now())
        self.store.save(payment)
        return self.cards.retrieve(payment.stripe_id)

    patch.setattr(Creation, "mark", lambda self, payment: None)
    patch.setattr(Creation, "find_or_create", create)


def no_unique_indexes(patch, world):
    orders = world.orders.orders
    patch.setattr(orders, "collection", orders.collection.database.orders_without_indexes)


def follow_any_order(patch, world):
    patch.setattr(PaymentStore, "_replaces_older", switches.replace_any)


def ask_before_opening(patch, world):
    """Make payments ask orders before there is a payment in which events meanwhile can be stored."""

    def copy_order(store, order_id, fetch, now):
        if store.find(order_id) is None:
            order = fetch(order_id)
            store.open(order_id, now)
            store.store_answer(order)

    patch.setattr(world_of_money, "copy_order", copy_order)


def answer_anyway(patch, world):
    """Let the answer of orders replace any copy."""
    replaces = PaymentStore._replaces_older

    def store_answer(self, order):
        patch.setattr(PaymentStore, "_replaces_older", switches.replace_any)
        answer_as_it_is(self, order)
        patch.setattr(PaymentStore, "_replaces_older", replaces)

    answer_as_it_is = PaymentStore.store_answer
    patch.setattr(PaymentStore, "store_answer", store_answer)


def find_unasked(patch, world):
    patch.setattr(PaymentStore, "find", switches.find_unasked)


def keep_any_ticket(patch, world):
    """Let any snapshot replace orders' copy of a ticket."""

    def apply(self, snapshot):
        fields = {name: value for name, value in snapshot.items() if name != "id"}
        self.collection.update_one({"_id": snapshot["id"]}, {"$set": fields}, upsert=True)

    patch.setattr(Copies, "apply", apply)


def follow_any_reservation(patch, world):
    """Let tickets follow every order's snapshot, however old."""

    def apply_order(self, order, now):
        self.reservation = None
        return apply_as_it_is(self, order, now)

    apply_as_it_is = Ticket.apply_order
    patch.setattr(Ticket, "apply_order", apply_order)


def expire_unasked(patch, world):
    """Let every overdue order expire before payments is asked."""
    patch.setattr(OrdersService, "_outcomes", lambda self, order_ids: {"unpaid": order_ids, "settled": []})


def never_compare(patch, world):
    """Let orders never compare payments with the versions that it applied."""
    nothing = {"page": [], "next": [0, 0], "is_last": True}
    empty = Source(world.orders.orders.collection.database, lambda after: [], lambda after: nothing, list, list, print)
    patch.setattr(OrdersService, "_payments", lambda self: empty)


def ask_for_partial_refunds_at_once(patch, world):
    """Use a new key for a partial refund as soon as Stripe has answered with a failure."""
    patch.setattr(Payment, "may_ask_for", lambda self, refund, now: True)


def mark_every_payment_refunded(patch, world):
    patch.setattr(orders_domain, "_returned_cents", lambda payment, price_cents: price_cents)


NEVER_VOID, ALWAYS_REFUND = deciding(never_void), deciding(always_refund)
REFUND_INCOMPLETE = deciding(refund_incomplete)
RANDOM_KEYS = {name: random_keys(name) for name in ("pi:", "confirm:", "capture:", "cancel:", "refund:")}
