"""What must hold once no event is under way: in the databases, the queues and the fake Stripe's ledger."""

from collections import Counter

import pymongo
import requests
from kombu import Connection

from dev.testing import wait_for
from libs.contracts.events import CATALOGUE
from libs.events import OUTBOX_INDEX, topology
from ops.migrate import SCHEMAS

OUTBOXES = {
    part: [collection for collection, indexes in schema.indexes.items() if OUTBOX_INDEX in indexes]
    for part, schema in SCHEMAS.items()
}
LIVE = ("created", "awaiting_payment", "complete")
PAUSE = 0.5  # seconds; checking all queues and documents takes a fifth of that
ORDER_FIELDS = ("ticket_id", "status", "ticket.price_cents", "refunded_at", "refunded_cents")


def check(system, seconds=60):
    """Wait until every outbox and queue is empty and every copy equals its source, then check the money."""
    with pymongo.MongoClient(system.mongo_url("admin"), tz_aware=True) as mongo:
        await_rest(system, mongo, seconds)
        orders = list(mongo.orders.orders.find({}, ORDER_FIELDS))
        check_one_winner(orders)
        check_money(orders, ledger(system))


def await_rest(system, mongo, seconds):
    """Wait until nothing is left over; fail with the rest when that takes too long."""
    with Connection(system.amqp_url) as broker:
        try:
            wait_for(lambda: next(leftovers(broker, mongo), None) is None, seconds, longest_pause=PAUSE)
        except AssertionError:  # show what is left over
            assert list(leftovers(broker, mongo)) == []


def leftovers(broker, mongo):
    """Yield sentences about unfinished work; cheap checks first."""
    yield from full_outboxes(mongo)
    yield from full_queues(broker)
    yield from different_copies(mongo)


def full_outboxes(mongo):
    for part, collections in OUTBOXES.items():
        for collection in collections:
            for document in mongo[part][collection].find({"outbox_at": {"$exists": True}}, {"outbox.id": 1}):
                yield f"{part} has not published {[pending['id'] for pending in document['outbox']]}"


def full_queues(broker):
    with broker.channel() as channel:
        for event in CATALOGUE.values():
            for listener in event.listeners:
                queue = topology.queue_name(listener, event)
                for name in (queue, topology.parked_name(queue)):
                    count = channel.queue_declare(name, passive=True).message_count
                    if count:
                        yield f"{count} messages are in {name}"


def different_copies(mongo):
    tickets = by_id(mongo.tickets.tickets, "version", "revision", "reservation.order_id", "reservation.version")
    orders = by_id(mongo.orders.orders, "version", "ticket_id", "reservation_no", "payment_version", "status")
    copies = by_id(mongo.orders.tickets, "version")
    payments = by_id(mongo.payments.payments, "published_version", "order.version")
    deadlines = by_id(mongo.expiration.deadlines, "order_version")
    newest = {}
    for order in sorted(orders.values(), key=lambda order: order["reservation_no"]):
        newest[order["ticket_id"]] = order
    for ticket_id, ticket in tickets.items():
        copy = copies.get(ticket_id, {})
        if not ticket["revision"] <= copy.get("version", 0) <= ticket["version"]:
            yield f"orders has version {copy.get('version')} of ticket {ticket_id}, not {ticket['revision']} or newer"
        order, held = newest.get(ticket_id), ticket.get("reservation")
        if order and (held is None or (held["order_id"], held["version"]) != (order["_id"], order["version"])):
            yield f"tickets knows {held} of order {order['_id']} version {order['version']}"
    for order_id, order in orders.items():
        payment = payments.get(order_id, {"order": {"version": order["version"]}})  # nobody has begun to pay
        if order_id not in payments and order["status"] in ("awaiting_payment", "complete"):
            yield f"payments has lost the payment of order {order_id}"
        if order.get("payment_version", 0) < payment.get("published_version", 0):
            yield f"orders has not applied version {payment['published_version']} of the payment of order {order_id}"
        if payment["order"].get("version") != order["version"]:
            yield f"payments has another version of order {order_id} than {order['version']}"
        if deadlines.get(order_id, {}).get("order_version") != order["version"]:
            yield f"expiration has another version of order {order_id} than {order['version']}"


def by_id(collection, *fields):
    """Return {id: document, of which these fields are read}."""
    return {document["_id"]: document for document in collection.find({}, fields)}


def ledger(system, order_id=None):
    """Return the fake Stripe's PaymentIntents with their charges and refunds."""
    answer = requests.get(f"{system.stripe_url}/_control/ledger", params={"order_id": order_id}, timeout=10)
    return answer.json()


def check_one_winner(orders):
    live = Counter(order["ticket_id"] for order in orders if order["status"] in LIVE)

    assert not {ticket_id for ticket_id, count in live.items() if count > 1}


def check_money(orders, intents):
    by_order = {}
    for intent in intents:
        by_order.setdefault(intent["order_id"], []).append(intent)
    for order in orders:
        captured, refunds, net = charged(by_order.get(order["_id"], []))
        price = order["ticket"]["price_cents"]

        assert captured in ([], [price]), f"order {order['_id']} was charged {captured}"
        assert len(refunds) <= 1, f"order {order['_id']} was refunded {refunds}"
        if order["status"] == "complete" and order["refunded_at"] is None:
            due = price - order.get("refunded_cents", 0)
            assert net == due, f"order {order['_id']} is complete but {net} was paid, not {due}"
        if order["status"] == "cancelled":
            assert net == 0, f"order {order['_id']} is cancelled but {net} was kept"


def charged(intents):
    charges = [charge for intent in intents for charge in intent["charges"]]
    captured = [charge["captured"] for charge in charges if charge["captured"]]
    refunds = [refund["amount"] for charge in charges for refund in charge["refunds"]]
    return captured, refunds, sum(captured) - sum(refunds)
