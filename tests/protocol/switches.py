"""Each rule of docs/protocol.md, switched off: its replacement, and where the search finds the violation."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orders.domain
import payments.decisions
import payments.recording
from orders.domain import Order
from payments.decisions import Step
from payments.domain import UNDER_WAY_PERIOD, Payment
from payments.store import PAYMENT_FIELDS, PaymentStore, copy_of
from tests.protocol.model import Claim, Document, Intent, Limits, PartialRefund, Snapshot, World
from tests.protocol.rules import NOON, PARTIAL, Rules

ONE_ORDER = World(claims=(Claim(payable=1),))
TWO_PAYMENTS = World(claims=(Claim(payable=2),))
UNACKED = World(claims=(Claim(payable=1, unacked=True),))
AUTHORIZED = World(
    claims=(
        Claim(
            published=frozenset({Snapshot("authorized")}),
            document=Document(version=4, status="authorized", intent=0, work_left=True),
            intents=(Intent("requires_capture"),),
        ),
    )
)
"""A buyer's card is authorized and that has been published, but not delivered yet."""
REFUNDED = World(
    claims=(
        Claim(
            history=("created", "awaiting_payment", "complete"),
            published=frozenset(
                {Snapshot("authorized"), Snapshot("captured"), Snapshot("captured", False, PARTIAL, 1)}
            ),
            document=Document(
                version=9,
                copy=3,
                status="captured",
                intent=0,
                refunded_cents=PARTIAL,
                partial_refunds=(PartialRefund("0", "created"), PartialRefund("1")),
                work_left=True,
            ),
            intents=(Intent("succeeded", captures=1, partial_refunds=("0",)),),
        ),
    ),
)
"""An order was paid; of two partial refunds that operators asked for one was made."""
ABANDONED = World(
    claims=(
        Claim(
            history=("created", "awaiting_payment", "complete"),
            published=frozenset({Snapshot("authorized"), Snapshot("captured")}),
            document=Document(
                version=9,
                copy=3,
                status="captured",
                intent=0,
                refund_asked=True,
                partial_refunds=(PartialRefund("0", "abandoned", abandoned="fresh"),),
                has_refund_failed=True,
                failed_refunds=1,
            ),
            intents=(Intent("succeeded", captures=1, refunds=1, refunds_returned=1, late=frozenset({("0", 0)})),),
        ),
    ),
)
"""An order was paid; a partial refund is still under way that was abandoned for one of everything, which came back."""
PAID = World(
    claims=(
        Claim(
            history=("created", "awaiting_payment", "complete"),
            published=frozenset({Snapshot("authorized"), Snapshot("captured")}),
            document=Document(version=7, copy=3, status="captured", intent=0),
            intents=(Intent("succeeded", captures=1),),
        ),
    ),
)


@dataclass(frozen=True)
class Switch:
    """A rule of docs/protocol.md without which the search has to find `violation`."""

    rule: int
    without: str
    rules: Rules
    violation: str
    limits: Limits = Limits(workers=2)
    start: World = ONE_ORDER
    at_rest: bool = True
    sound: Rules = field(default_factory=Rules)
    """The rules that suffice here once the switch is back on."""


def follow_after_the_end(order: Order, payment: dict[str, Any], now: datetime) -> str | None:
    """Follow a payment even out of a terminal state."""
    if order.status == "cancelled" and payment["status"] == "authorized":
        order.status = "created"
    return order.apply_payment(payment, now)


def follow_by_the_deadline(order: Order, payment: dict[str, Any], now: datetime) -> str | None:
    """Cancel an overdue order when its authorization arrives."""
    if order.is_overdue(now) and payment["status"] == "authorized":
        return order.expire(now, is_unpaid=True)
    return order.apply_payment(payment, now)


def follow_every_failure(order: Order, payment: dict[str, Any], now: datetime) -> str | None:
    """Cancel on every PaymentFailed, final or not."""
    failed = payment["status"] == "open"
    return order.apply_payment({**payment, "status": "cancelled", "final": True} if failed else payment, now)


def decide_by_the_deadline(payment: Payment, intent: Any, now: datetime) -> Step:
    """Void what was authorized when payments itself finds that the order's deadline has passed."""
    overdue = payment.order["expires_at"] <= NOON
    if intent is not None and intent.status == "requires_capture" and overdue:
        return Step.CANCEL
    return payments.decisions.decide(payment, intent, now)


def decide_without_giving_up(payment: Payment, intent: Any, now: datetime) -> Step:
    """Try a refused capture for ever."""
    payment.capture_refused_at, payment.capture_tries = None, 0
    return payments.decisions.decide(payment, intent, now)


def check_derived_status(ticket: dict[str, Any], buyer_id: str, seen: int | None, now: datetime) -> None:
    """Read the derived status for what the seller has withdrawn."""
    orders.domain.check_ticket({**ticket, "withdrawn": ticket["status"] == "withdrawn"}, buyer_id, seen, now)


def extend_again(order: Order, buyer_id: str, now: datetime) -> str | None:
    """Extend a deadline however often it was extended before."""
    order.was_extended = False
    return order.extend(buyer_id, now)


def promise_anything(payment: Payment, ident: str, amount: int, by: str, reason: str, now: datetime) -> bool:
    """Promise a partial refund whatever is left."""
    price, payment.amount_cents = payment.amount_cents, 10 * amount
    asked = payment.request_partial_refund(ident, amount, by, reason, now)
    payment.amount_cents = price
    return asked


def repeat_at_once(payment: Payment, ident: str, amount: int, by: str, reason: str, now: datetime) -> bool:
    """Ask again for a partial refund that was abandoned a moment ago."""
    return payment.request_partial_refund(ident, amount, by, reason, now + UNDER_WAY_PERIOD)


def request_for_each_operator(payment: Payment, ident: str, amount: int, by: str, reason: str, now: datetime) -> bool:
    """Treat identical requests of two operators as two requests."""
    return payment.request_partial_refund(ident, amount, by, ident, now)


def follow_old_refunds(order: Order, payment: dict[str, Any], now: datetime) -> str | None:
    """Take what was refunded from any snapshot, also from one that is older than what the order has followed."""
    followed, order.payment_version = order.payment_version, -1
    event = order.apply_payment(payment, now)
    order.payment_version = max(followed, order.payment_version)
    return event


def record_without_returns(payment: Payment, intent: Any, now: datetime) -> str | None:
    """Publish nothing when a refund came back."""
    before = payment.refunded_cents
    event = payments.recording.record(payment, intent, now)
    return "" if event and payment.refunded_cents < before else event


def decide_without_waiting(payment: Payment, intent: Any, now: datetime) -> Step:
    """Ask for a partial refund under a new key as soon as Stripe has failed."""
    payment.partial_refunds = [{**refund, "failed_at": None} for refund in payment.partial_refunds]
    return payments.decisions.decide(payment, intent, now)


def keep_the_key(payment: Payment, ident: str, now: datetime) -> None:
    """Ask for a partial refund under the key for which Stripe may replay its failure."""
    postpone_as_it_is(payment, ident, now)
    payment.partial_refunds = [{**refund, "key_no": 0} for refund in payment.partial_refunds]


postpone_as_it_is = Payment.postpone_partial_refund


def renew_only_the_key(payment: Payment, now: datetime) -> None:
    """Go on creating the PaymentIntent that Stripe has refused to create, under another key."""
    payment.key_no += 1
    payment.mark_changed(now)


def is_another(payment: Payment, stripe_id: str) -> bool:
    """Take for orphans only PaymentIntents whose order has another one."""
    return payment.stripe_id not in (None, stripe_id)


def extend_late(order: Order, buyer_id: str, now: datetime) -> str | None:
    """Extend a deadline that has passed, too."""
    return order.extend(buyer_id, min(now, order.expires_at - timedelta(minutes=1)))


apply_as_it_is = PaymentStore.apply_order


def apply_only_news(store: PaymentStore, order: dict[str, Any]) -> Payment | None:
    """Settle nothing when the snapshot is as old as our copy, or older."""
    known = store.find(order["id"])
    is_news = known is None or known.order["version"] < order["version"]
    payment = apply_as_it_is(store, order)
    return payment if is_news else None


def replace_any(
    store: PaymentStore, order: dict[str, Any], where: dict[str, Any], extra: dict[str, Any] | None = None
) -> bool:
    """Put the snapshot in place of any copy, newer ones too."""
    update = {**(extra or {}), "$set": {**copy_of(order), **(extra or {}).get("$set", {})}}
    return store.payments.collection.update_one({"_id": order["id"], **where}, update).matched_count > 0


def find_unasked(store: PaymentStore, order_id: str) -> Payment | None:
    """Find a payment that an event has filled, though orders was not asked since it was opened."""
    found = store.payments.find_one({"_id": order_id, "order.version": {"$gt": 0}})
    return Payment(**{name: found[name] for name in PAYMENT_FIELDS if name in found}) if found else None


class AppliesOnlyNews(PaymentStore):
    """A store that ignores that the worker that stored a copy may have died before settling."""

    apply_order = apply_only_news


class KeepsAnything(PaymentStore):
    """A store whose copies follow any snapshot."""

    _replaces_older = replace_any


class FindsUnasked(PaymentStore):
    """A store that takes an event for an answer of orders."""

    find = find_unasked


ACKED = Rules(events_lost=False)
"""The rules where an acknowledged event is not redelivered, and no comparison repairs its loss."""
FAILING = Limits(workers=2, declines=0, failures=1)
REFUSING = Limits(workers=2, declines=0, refused_creations=1)
RESERVING = Limits(workers=2, orders=2, seller=1, racing=True, money=False)
ON_SALE = World(changes=1)
PARTIAL_REFUNDS = Limits(workers=2, declines=0, days=True, partial_refunds=2)
FAILING_PARTIAL_REFUNDS = Limits(workers=2, declines=0, partial_refunds=1, failures=1)
REPEATED_PARTIAL_REFUNDS = Limits(workers=1, declines=0, partial_refunds=2, failures=1, returned=1, repeats=1)
RETURNED_REFUNDS = Limits(workers=2, declines=0, partial_refunds=1, returned=2)
"""The limits for refunds that come back, perhaps while another is being made."""
EXTENDING = Limits(workers=1, declines=0, extending=True)

ROBBED = "an order paid in time was cancelled"
NO_PROGRESS = "a card is charged for an order that makes no progress"
OLD_COPY = "I6: payments has another version of the order"

SWITCHES = [
    Switch(1, "whoever writes last wins", Rules(compare_and_set=False), "a stored version went from"),
    Switch(
        2,
        "the reply to a capture says that it happened",
        Rules(replies_decide=True),
        "a capture was published that did not happen",
        Limits(workers=2, refusals=1),
    ),
    Switch(
        2,
        "what was captured is refunded while the order is not complete",
        Rules(refund_incomplete=True),
        "I2",
    ),
    Switch(
        3,
        "an event that is not newer is acknowledged without settling",
        Rules(store=AppliesOnlyNews, reconcile=False),
        NO_PROGRESS,
        Limits(workers=2, buying=False, unacked=True),
        AUTHORIZED,
        sound=Rules(reconcile=False),
    ),
    Switch(
        4,
        "a payment revives a cancelled order",
        Rules(follow=follow_after_the_end),
        "I1",
        Limits(workers=1, orders=2, declines=0),
        at_rest=False,
    ),
    Switch(
        4,
        "every decline cancels the order",
        Rules(follow=follow_every_failure),
        ROBBED,
    ),
    Switch(
        4,
        "an order expires before payments is asked",
        Rules(ask_before_expiry=False),
        ROBBED,
    ),
    Switch(
        4,
        "an authorization that arrives after the deadline cancels the order",
        Rules(follow=follow_by_the_deadline),
        ROBBED,
    ),
    Switch(
        4,
        "an expiry does not see that the order changed since payments was asked",
        Rules(compare_on_expiry=False),
        ROBBED,
    ),
    Switch(
        4,
        "an order does not expire until payments answers",
        Rules(expire_unasked=False),
        "an order never ends while Stripe is unreachable",
        Limits(workers=1, declines=0, days=True),
    ),
    Switch(5, "payments judges the deadline", Rules(decide=decide_by_the_deadline), ROBBED),
    Switch(
        6,
        "declines are counted from replies",
        Rules(count_at_stripe=False),
        "a third decline did not end the payment",
        Limits(workers=1, declines=3),
    ),
    Switch(
        7,
        "the last refusal is a final failure by itself",
        Rules(final_when_cancelled=False),
        "a final failure was published while",
        Limits(workers=1, refusals=1),
    ),
    Switch(
        7,
        "a refused capture is tried for ever",
        Rules(decide=decide_without_giving_up),
        "it never comes to rest",
        Limits(workers=1, refusals=1),
    ),
    Switch(
        8,
        "nobody reconciles",
        Rules(reconcile=False),
        NO_PROGRESS,
        Limits(workers=2, unacked=True),
        UNACKED,
    ),
    Switch(
        8,
        "orders does not compare payments with what it followed",
        Rules(comparing=frozenset({"tickets", "payments"})),
        "its events lost",
        Limits(workers=1, declines=0),
    ),
    Switch(
        8,
        "payments does not compare its copies of orders",
        Rules(comparing=frozenset({"tickets", "orders"})),
        "its events lost",
        Limits(workers=1, declines=0),
    ),
    Switch(
        8,
        "tickets does not compare its reservations with orders",
        Rules(comparing=frozenset({"orders", "payments"})),
        "its events lost",
        Limits(workers=1, declines=0),
    ),
    Switch(
        8,
        "orders asks for ever",
        Rules(gives_up=False),
        "an order never ends while Stripe is unreachable",
        Limits(workers=1, declines=0, days=True),
    ),
    Switch(
        9,
        "one call creates and confirms, before the copy is looked at",
        Rules(look_before_paying=False),
        NO_PROGRESS,
    ),
    Switch(
        10, "a read before the write decides who gets the ticket", Rules(one_winner=False), "I1", RESERVING, ON_SALE
    ),
    Switch(
        11,
        "orders reads the derived status",
        Rules(check=check_derived_status),
        "a ticket was reserved that orders knew to be withdrawn",
        RESERVING,
        ON_SALE,
    ),
    Switch(
        11,
        "orders trusts a copy that is older than what the buyer saw",
        Rules(ask_again=False),
        "a ticket was reserved at another price than the buyer saw",
        RESERVING,
        ON_SALE,
    ),
    Switch(
        11,
        "what the seller changes does not raise the revision",
        Rules(revise=False),
        "I6: orders has another state of the ticket",
        RESERVING,
        ON_SALE,
    ),
    Switch(
        12,
        "any snapshot replaces payments' copy",
        Rules(store=KeepsAnything),
        NO_PROGRESS,
        Limits(workers=2, buying=False, unacked=True),
        AUTHORIZED,
    ),
    Switch(
        12,
        "any event sets tickets' reservation",
        Rules(newest_reservation_wins=False),
        "the ticket is shown as",
        RESERVING._replace(workers=1, racing=False),
        ON_SALE,
    ),
    Switch(
        12,
        "what was refunded is taken from any snapshot of a payment",
        Rules(follow=follow_old_refunds),
        "it never comes to rest",
        RETURNED_REFUNDS._replace(workers=1, returned=1, operator=True),
        PAID,
    ),
    Switch(
        12,
        "payments publishes nothing when a refund comes back",
        Rules(record=record_without_returns),
        "an order does not say what was refunded",
        RETURNED_REFUNDS,
        REFUNDED,
    ),
    Switch(
        13,
        "whoever creates a PaymentIntent that the order does not get abandons it, and no audit runs",
        Rules(losers_cancel=False, audit=False),
        "can still be paid",
        FAILING,
    ),
    Switch(
        13,
        "no audit runs",
        Rules(audit=False),
        "can still be paid",
        FAILING,
    ),
    Switch(
        13,
        "a PaymentIntent that could not be stored is cancelled, though the order may have the same",
        Rules(losers_compare=False),
        ROBBED,
        Limits(workers=2, declines=0),
    ),
    Switch(
        13,
        "a PaymentIntent that Stripe refuses to create is requested for ever",
        Rules(refuse=renew_only_the_key),
        "it never comes to rest",
        REFUSING,
    ),
    Switch(
        13,
        "no audit ends what was created for an order whose creation Stripe has also refused",
        Rules(is_orphan=is_another),
        "can still be paid",
        REFUSING,
    ),
    Switch(
        14,
        "payments asks orders before it opens the payment",
        Rules(open_before_asking=False, events_lost=False),
        OLD_COPY,
        Limits(workers=2, declines=0, unacked=True),
        UNACKED,
        sound=ACKED,
    ),
    Switch(
        14,
        "an event that arrives before the answer of orders stands for it",
        Rules(store=FindsUnasked, events_lost=False),
        OLD_COPY,
        Limits(workers=2, declines=0, unacked=True),
        UNACKED,
        sound=ACKED,
    ),
    Switch(
        14,
        "what orders answered replaces any copy",
        Rules(copying=KeepsAnything, events_lost=False),
        OLD_COPY,
        Limits(workers=2, declines=0, unacked=True),
        UNACKED,
        sound=ACKED,
    ),
    Switch(
        16,
        "partial refunds have random keys",
        Rules(refunds_have_keys=False),
        "I3: a partial refund was made twice",
        PARTIAL_REFUNDS,
        AUTHORIZED,
        at_rest=False,
    ),
    Switch(
        16,
        "it is not looked at which partial refunds Stripe has made already",
        Rules(refunds_are_looked_for=False),
        "I3: a partial refund was made twice",
        PARTIAL_REFUNDS,
        AUTHORIZED,
        at_rest=False,
    ),
    Switch(
        16,
        "a partial refund has a new key as soon as Stripe has failed",
        Rules(decide=decide_without_waiting),
        "I3: a partial refund was made twice",
        FAILING_PARTIAL_REFUNDS,
        AUTHORIZED,
        at_rest=False,
    ),
    Switch(
        16,
        "a partial refund keeps its key, for which Stripe replays its failure",
        Rules(postpone=keep_the_key),
        "neither made nor abandoned",
        FAILING_PARTIAL_REFUNDS,
        AUTHORIZED,
    ),
    Switch(
        16,
        "what was abandoned is asked for again while it may still be made",
        Rules(request_partially=repeat_at_once),
        "I3: a partial refund was made twice",
        REPEATED_PARTIAL_REFUNDS._replace(partial_refunds=1),
        ABANDONED,
    ),
    Switch(
        16,
        "what two operators request alike are two refunds",
        Rules(request_partially=request_for_each_operator),
        "I3: a partial refund was made twice",
        PARTIAL_REFUNDS._replace(partial_refunds=1),
        AUTHORIZED,
        at_rest=False,
    ),
    Switch(
        16,
        "more is promised than is left of the charge",
        Rules(request_partially=promise_anything),
        "a partial refund was promised of which less was left",
        PARTIAL_REFUNDS._replace(workers=1, partial_refunds=3, days=False),
        AUTHORIZED,
    ),
    Switch(
        15,
        "an extension does not see that the order changed since it was read",
        Rules(compare_on_extension=False),
        "I1",
        EXTENDING._replace(orders=2, money=False),
        at_rest=False,
    ),
    Switch(
        15,
        "a deadline is extended however often it was before",
        Rules(extend=extend_again),
        "an order was extended twice",
        EXTENDING,
    ),
    Switch(
        15,
        "a deadline that has passed is extended",
        Rules(extend=extend_late),
        "an order was extended after its deadline",
        EXTENDING,
    ),
]
