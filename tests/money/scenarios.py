"""Short, deterministic scenarios of one order's money, each built around the one moment at which a mistake shows.

`before_next` injects another actor's action at that moment, so nothing depends on threads. Each ends with minutes
without clicks, and returns what is wrong then. `sent` lists the (path, idempotency key) of each request to Stripe.
"""

from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace

from libs.clock import utc_now
from libs.contracts.errors import DomainError, TicketWithdrawn
from libs.contracts.events import CATALOGUE
from orders.domain import NoDeadline
from orders.service import OrdersService
from payments import errors
from payments.domain import UNDER_WAY_PERIOD
from payments.refunds import refund, refund_partially
from tests.money.buyer import confirm
from tests.money.world import PRICE
from tickets.domain import Ticket
from tickets.store import TicketStore

BAD_CARD = "pm_card_chargeDeclined"


class Died(BaseException):
    """A worker crashes, whatever it was about to do."""


def die():
    raise Died


def before_next(thing, name, action, when=lambda: True):
    """Let `action` happen right before the next call of `thing.name` at which `when()` holds."""
    real = getattr(thing, name)

    def call(*args, **kwargs):
        if when():
            setattr(thing, name, real)
            action()
        return real(*args, **kwargs)

    setattr(thing, name, call)


def after_next(thing, name, action):
    """Let `action` happen right after the next call of `thing.name`."""
    real = getattr(thing, name)

    def call(*args, **kwargs):
        setattr(thing, name, real)
        done = real(*args, **kwargs)
        action()
        return done

    setattr(thing, name, call)


def end(world):
    """Return what is wrong after a while without clicks."""
    world.rest_alone()
    yield from world.faults()
    ended = {"work_left": True, "order.status": {"$in": ["complete", "cancelled"]}}
    for found in world.store.payments.collection.find(ended):
        yield f"order {found['_id']} is visited for ever"
    yield from (f"{name} rose" for name in world.store.counts() if name.startswith("alarms_"))


def requested_once(sent, path):
    """Yield a fault if one request was sent under several keys."""
    keys = {key for asked, key in sent if asked.endswith(path)}
    if len(keys) != 1:
        yield f"Stripe was sent {len(keys)} different requests for {path}"


def ordered(world):
    """Return the id of an order that payments has a copy of, with nothing in flight."""
    order_id = world.reserve()
    deliver_all(world)
    return order_id


def deliver_all(world):
    while world.deliver_outboxes():
        pass


def expired(world, order_id):
    """Let the time of the order run out, if it has any left."""
    with suppress(NoDeadline):  # once it has ended
        world.change(order_id, lambda order: order.expire_now(utc_now()))
    world.expire(order_id)


def awaited(world):
    """Return the id of an order that awaits its capture, with its copy in payments."""
    order_id = ordered(world)
    world.pay(order_id)
    order = world.change(order_id, lambda order: order.apply_payment(world.payment(order_id).snapshot(), utc_now()))
    world.store.apply_order(CATALOGUE["OrderAwaitingPayment"].load(order.snapshot()))
    return order_id


def settled_twice(world, sent, order_id, name, path):
    """Let two workers send the same request at the same moment."""
    before_next(world.settlement.cards, name, lambda: world.settlement.settle(order_id))
    world.settlement.settle(order_id)
    yield from requested_once(sent, path)
    yield from end(world)


def an_order_is_paid(world, sent):
    world.pay(ordered(world))
    return end(world)


def the_reply_to_a_creation_is_lost(world, sent):
    order_id = ordered(world)
    world.fake.control("faults", kind="lost_reply", path="/v1/payment_intents", count=2)
    with suppress(errors.StripeUnavailable):
        world.pay(order_id)
    world.pay(order_id)
    return end(world)


def a_worker_creates_late_what_another_has_created(world, sent):
    """One worker finds nothing after a failure, and creates under its key only once another has, under a newer one."""
    order_id, cards = ordered(world), world.settlement.cards

    def pay_in_vain():
        fault = {"path": "/v1/payment_intents", "status": 500, "stored": False}
        before_next(cards, "create", lambda: world.fake.control("faults", kind="error", **fault))
        with suppress(errors.StripeUnavailable):
            world.pay(order_id)

    pay_in_vain()
    before_next(cards, "create", lambda: (pay_in_vain(), world.pay(order_id)))
    world.pay(order_id)
    return end(world)


def two_clicks_create_under_one_key(world, sent):
    order_id = ordered(world)
    before_next(world.settlement.cards, "create", lambda: world.pay(order_id))
    with suppress(errors.OrderCancelled):
        world.pay(order_id)
    yield from end(world)
    if world.order(order_id).status != "complete":
        yield "a buyer who paid in time lost the ticket"


def a_capture_is_repeated_after_its_money_was_refunded(world, sent):
    """Stripe replays the reply to the first capture, which was lost, for the second."""
    order_id = awaited(world)
    cards = world.settlement.cards

    def capture_cancel_and_refund():
        cards.capture(world.payment(order_id).stripe_id, 1)
        world.refund_at_stripe(order_id)

    before_next(cards, "capture", capture_cancel_and_refund)
    published = world.settlement.settle(order_id)[0].status
    if published != "refunded":
        yield f"a refunded payment was published as {published}"
    yield from end(world)


def a_bad_card_is_clicked_twice(world, sent):
    order_id = ordered(world)

    def click():
        with suppress(errors.PaymentDeclined):
            world.pay(order_id, BAD_CARD)

    before_next(world.settlement.cards, "confirm", click)
    click()
    tried = [len(intent["charges"]) for intent in world.fake.ledger(order_id)]
    if tried != [1]:
        yield f"a double click tried {tried} cards"
    yield from end(world)


def two_workers_capture(world, sent):
    return settled_twice(world, sent, awaited(world), "capture", "/capture")


def two_workers_void(world, sent):
    order_id = ordered(world)
    world.pay(order_id)
    cancelled = world.cancel(order_id)
    world.store.apply_order(CATALOGUE["OrderCancelled"].load(cancelled.snapshot()))
    return settled_twice(world, sent, order_id, "cancel", "/cancel")


def two_workers_refund(world, sent):
    order_id = bought(world)
    before_next(world.settlement.cards, "refund", lambda: world.settlement.settle(order_id))
    refund(world.settlement, order_id, "called off", "operator")
    yield from requested_once(sent, "/refunds")
    yield from end(world)


def a_partial_refund_is_made_long_after_stripe_answered_with_a_failure(world, sent):
    order_id = bought(world)
    world.fake.control("faults", kind="error", path="/v1/refunds", status=500)
    asked = refund_partially(world.settlement, order_id, 500, "a seat was broken", "operator")
    key = {"idempotency_key": next(key for path, key in sent if path.endswith("/refunds"))}
    metadata = {"refund": asked["partial_refunds"][0]["id"]}
    about = {"payment_intent": asked["stripe_id"], "amount": 500, "metadata": metadata}

    before_next(world.settlement.cards, "refund_partially", lambda: world.fake.client().v1.refunds.create(about, key))
    world.rest_alone()
    world.fake.client().v1.refunds.create(about, key)
    world.ahead += UNDER_WAY_PERIOD
    world.rest_alone()

    [made] = [charge["refunds"] for charge in world.fake.ledger(order_id)[0]["charges"]]
    if len(made) != 1:
        yield f"a partial refund was made {len(made)} times"


def bought(world):
    order_id = ordered(world)
    world.pay(order_id)
    world.rest_alone()
    return order_id


def an_authorized_order_is_cancelled(world, sent):
    order_id = ordered(world)
    world.pay(order_id)
    world.cancel(order_id)
    return end(world)


def a_worker_that_saw_the_authorization_writes_last(world, sent):
    order_id = ordered(world)
    confirm(world, world.fake, order_id)

    def the_others():
        world.settlement.settle(order_id)
        deliver_all(world)

    before_next(world.store, "save", the_others)
    world.settlement.settle(order_id)
    return end(world)


def a_worker_that_saw_nothing_begun_updates_work_left_last(world, sent):
    order_id = ordered(world)
    before_next(world.store, "update_work_left", lambda: confirm(world, world.fake, order_id))
    world.settlement.settle(order_id)
    return end(world)


def a_worker_that_saw_no_refund_updates_work_left_last(world, sent):
    order_id = bought(world)

    def ask_in_vain():
        world.fake.control("faults", kind="error", path="/v1/refunds", status=503, count=2, stored=False)
        refund(world.settlement, order_id, "called off", "operator")

    before_next(world.store, "update_work_left", ask_in_vain)
    world.settlement.settle(order_id)
    yield from end(world)
    if world.payment(order_id).status != "refunded":
        yield "the refund that an operator was promised is not made"


def a_capture_comes_after_the_last_was_given_up(world, sent):
    order_id = awaited(world)
    refused = {"status": 402, "type": "card_error", "code": "card_declined", "stored": True}
    world.fake.control("faults", kind="error", path="*/capture", **refused)
    world.settlement.settle(order_id)

    def give_up_and_die():
        world.ahead += timedelta(minutes=10)
        after_next(world.settlement.cards, "cancel", die)
        with suppress(Died):
            world.settlement.settle(order_id)

    before_next(world.settlement.cards, "capture", give_up_and_die)
    world.settlement.settle(order_id)
    deliver_all(world)
    return end(world)


def a_worker_dies_between_the_copy_and_settling(world, sent):
    """No reconciler runs."""
    order_id = ordered(world)
    world.pay(order_id)
    world.cancel(order_id)
    before_next(world.settlement, "settle", die)
    with suppress(Died):
        world.deliver_outboxes()
    deliver_all(world)
    return world.faults()


def the_webhook_of_a_payment_is_lost(world, sent):
    confirm(world, world.fake, ordered(world))
    return end(world)


def no_event_arrives_of_a_card_that_was_authorized_in_time(world, sent):
    order_id = ordered(world)
    world.pay(order_id)
    lose_events(world)
    expired(world, order_id)
    yield from end(world)
    if world.order(order_id).status != "complete":
        yield "a buyer who paid in time lost the ticket"


def no_event_arrives_of_a_refund(world, sent):
    order_id = bought(world)
    refund(world.settlement, order_id, "called off", "operator")
    lose_events(world)
    world.compare()
    yield from end(world)


def lose_events(world):
    """Lose all events that wait to be delivered for good."""
    world.store.payments.collection.update_many({}, {"$set": {"outbox": []}})


def a_worker_dies_when_stripe_has_made_a_payment_intent(world, sent):
    order_id = ordered(world)
    before_next(world.store, "save", die, when=lambda: world.fake.ledger(order_id))
    with suppress(Died):
        world.pay(order_id)
    expired(world, order_id)
    return end(world)


def two_buyers_find_one_ticket_free(world, sent):
    world.orders.tickets.apply(ticket())
    order_ids = []

    def reserve(buyer_id):
        with suppress(DomainError):
            order_ids.append(service(world, buyer_id).create("hamlet")["id"])

    before_next(world.orders, "add", lambda: reserve("cy"))
    reserve("bo")
    for order_id in order_ids:
        order = world.order(order_id)
        world.copy(order_id)
        world.checkout.pay(order_id, order.buyer_id, "tok_visa")
    return end(world)


def an_older_snapshot_of_an_order_comes_last(world, sent):
    order_id = ordered(world)
    created = CATALOGUE["OrderCreated"].load(world.order(order_id).snapshot())
    world.pay(order_id)
    world.cancel(order_id)
    before_next(world.settlement, "settle", lambda: world.store.apply_order(created))
    deliver_all(world)
    return end(world)


def an_older_snapshot_of_a_ticket_comes_last(world, sent):
    withdrawn = ticket(withdrawn=True, version=2)
    for snapshot in (withdrawn, ticket()):
        world.orders.tickets.apply(snapshot)
    with suppress(TicketWithdrawn):
        order_id = service(world, "bo").create("hamlet")["id"]
        world.copy(order_id)
        world.pay(order_id)
        yield "a withdrawn ticket was charged for"
    yield from end(world)


def an_older_snapshot_of_an_order_reaches_tickets_last(world, sent):
    store, order_id = TicketStore(world.store.payments.collection.database), ordered(world)
    created = world.order(order_id).snapshot()
    cancelled = world.cancel(order_id).snapshot()
    store.add(hamlet(), CATALOGUE["TicketCreated"])
    for snapshot in (cancelled, created):
        found = store.get("hamlet")
        if found.apply_order(CATALOGUE["OrderUpdated"].load(snapshot), utc_now()):
            store.save_reservation(found)
    if store.get("hamlet").snapshot()["status"] != "on_sale":
        yield "a free ticket is shown as reserved"
    yield from end(world)


def an_order_is_cancelled_while_payments_asks_about_it(world, sent):
    """Nothing is compared, and no event comes twice."""
    order_id = world.place()
    after_next(world, "ask_orders", lambda: (world.cancel(order_id), deliver_all(world)))
    with suppress(errors.OrderCancelled):
        world.copy(order_id)
        world.pay(order_id)
    return end(world)


def an_old_event_comes_before_the_answer_of_orders(world, sent):
    """The worker that asked dies; nothing is compared, and no event comes twice."""
    order_id = world.place()
    created = world.ask_orders(order_id)
    world.cancel(order_id)
    deliver_all(world)
    before_next(world, "ask_orders", die)
    with suppress(Died):
        world.copy(order_id)
    world.settlement.apply_order(created)
    with suppress(errors.OrderCancelled):
        world.copy(order_id)
        world.pay(order_id)
    return end(world)


def service(world, buyer_id):
    """Return the orders service with this buyer as the caller."""
    found = OrdersService()
    found.store, found.caller = world.orders, SimpleNamespace(user_id=buyer_id)
    found.window_seconds, found.unpaid_per_buyer, found.unpaid_per_hour = 900, 10, 30
    return found


def hamlet():
    shown = {"title": "Hamlet", "price_cents": PRICE, "category": "stage", "venue": None, "starts_at": None}
    return Ticket.create("hamlet", "ana", "usd", utc_now(), **shown)


def ticket(**changes):
    """Return a snapshot of the ticket as orders receives it."""
    return CATALOGUE["TicketCreated"].load({**hamlet().snapshot(), **changes})
