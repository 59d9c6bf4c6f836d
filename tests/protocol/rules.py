"""The rules, as the services' own functions decide them, and a switch to turn each off.

Each method turns small values of the model into what the real function takes, and its answer back; answers are kept,
because the same question comes up thousands of times.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import mongomock

import orders.domain
import payments.decisions
import payments.domain
import payments.errors
import payments.intent
import payments.orphans
import payments.recording
import tickets.domain
from libs.contracts.errors import DomainError
from orders.domain import Order
from payments.decisions import Step
from payments.domain import Payment
from payments.store import PaymentStore
from tests.protocol.model import Claim, Document, Intent, Listing, PartialRefund, Snapshot

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER, EARLIER, LONG_AGO = NOON + timedelta(hours=1), NOON - timedelta(minutes=5), NOON - timedelta(days=2)
SOON = NOON + timedelta(minutes=1)
WHEN = {"": None, "fresh": NOON, "old": LONG_AGO}
"""The times for the model's values of a moment."""
PRICE, PARTIAL = 1999, 900
"""The price of a ticket, and the amount of a partial refund: the third one exceeds what is left."""
OPERATORS = ("olga", "pim")
"""The operators who request refunds; the model does not keep who requested one, so it counts as olga's."""
COLLEAGUE = "colleague's "
"""The prefix of the id of a request that a colleague has made already."""
ASKED = {"by": OPERATORS[0], "reason": "rained off", "at": NOON}
"""A requested full refund."""
LISTED: dict[str, Any] = {
    "title": "Hamlet, row 3", "price_cents": PRICE, "category": "stage", "venue": None, "starts_at": None,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Rules:
    """The rules in force: by default all, decided by the real functions."""

    compare_and_set: bool = True  # 1
    replies_decide: bool = False  # 2
    own_replies: bool = True  # what rule 2 allows
    captures_unread: bool = True  # what rule 2 allows
    refund_incomplete: bool = False  # 2
    store: type[PaymentStore] = PaymentStore  # 3, 12
    follow: Callable[[Order, dict[str, Any], datetime], str | None] = Order.apply_payment  # 4, 12
    ask_before_expiry: bool = True  # 4
    compare_on_expiry: bool = True  # 4
    expire_unasked: bool = True  # 4
    decide: Callable[[Payment, Any, datetime], Step] = payments.decisions.decide  # 5
    count_at_stripe: bool = True  # 6
    final_when_cancelled: bool = True  # 7
    reconcile: bool = True  # 8
    comparing: frozenset[str] = frozenset({"tickets", "orders", "payments"})  # 8
    gives_up: bool = True  # 8
    look_before_paying: bool = True  # 9
    one_winner: bool = True  # 10
    check: Callable[..., None] = orders.domain.check_ticket  # 11
    ask_again: bool = True  # 11
    revise: bool = True  # 11
    newest_reservation_wins: bool = True  # 12
    record: Callable[[Payment, Any, datetime], str | None] = payments.recording.record  # 12
    losers_cancel: bool = True  # 13
    losers_compare: bool = True  # 13
    audit: bool = True  # 13
    is_orphan: Callable[[Payment, str], bool] = payments.orphans.is_orphan  # 13
    refuse: Callable[[Payment, datetime], None] = Payment.mark_creation_refused  # 13
    open_before_asking: bool = True  # 14
    copying: type[PaymentStore] = PaymentStore  # 14
    extend: Callable[[Order, str, datetime], str | None] = Order.extend  # 15
    compare_on_extension: bool = True  # 15
    refunds_have_keys: bool = True  # 16
    refunds_are_looked_for: bool = True  # 16
    request_partially: Callable[[Payment, str, int, str, str, datetime], bool] = Payment.request_partial_refund  # 16
    postpone: Callable[[Payment, str, datetime], None] = Payment.postpone_partial_refund  # 16
    events_lost: bool = True  # whether events are lost for good, too, not only late

    def __post_init__(self) -> None:
        """Remember every answer."""
        for name in ("change_order", "next_step", "recorded", "refused", "may_pay", "may_extend", "may_reserve"):
            object.__setattr__(self, name, cache(getattr(self, name)))

    def change_order(
        self,
        status: str,
        is_overdue: bool,
        refunded_cents: int,
        followed: int,
        change: str,
        payment: Snapshot | None,
    ) -> tuple[str | None, int, int]:
        """Let an order expire, be cancelled, be given up or follow a payment's snapshot.

        Return its status then, None when nothing changed, what it says was refunded, and what it has `followed`.
        """
        order = replace(_order(status, is_overdue), refunded_cents=refunded_cents, payment_version=followed)
        order.refunded_at = NOON if refunded_cents >= PRICE else None
        if change == "expire unasked":
            order.expires_at = LONG_AGO
        changes: dict[str, Callable[[], Any]] = {
            "expire": lambda: order.expire(NOON, is_unpaid=True),
            "expire unasked": lambda: order.expire(NOON, is_unpaid=False) if self.expire_unasked else None,
            "cancel": lambda: order.cancel("bo", NOON),
            "give up": lambda: order.give_up(NOON) if self.gives_up else None,
            "follow": lambda: self.follow(order, _snapshot(payment), NOON),
        }
        try:
            event = changes[change]()
        except DomainError:
            event = None
        return (order.status if event else None), order.refunded_cents, order.payment_version

    def may_extend(self, status: str, is_overdue: bool, was_extended: bool) -> bool:
        """Whether the buyer may extend the deadline of an order, which has passed or is near."""
        expires_at = EARLIER if is_overdue else SOON
        order = replace(_order(status, is_overdue), expires_at=expires_at, was_extended=was_extended)
        try:
            return self.extend(order, "bo", NOON) is not None
        except DomainError:
            return False

    def next_step(self, document: Document, status: str, is_overdue: bool, intent: Intent | None) -> Step:
        """Return what settle does next; `status` is that of the order's copy."""
        if intent and self.refund_incomplete and intent.status == "succeeded" and not intent.is_refunded:
            return Step.REFUND if status != "complete" else Step.RECORD
        return self.decide(_payment(document, status, is_overdue), self._as_read(intent), NOON)

    def delivered(
        self, document: Document | None, copied: str, version: int, status: str
    ) -> tuple[Document | None, bool]:
        """Let payments follow a snapshot of the order; `copied` is the status that its copy has.

        Return the document after that, and whether settle runs before the event is acknowledged.
        """
        return _delivered(self.store, document, copied, version, status)

    def copied(self, document: Document, copied: str, version: int, status: str) -> Document:
        """Return the document after the snapshot that orders answered was stored in it."""
        return _answered(self.copying, document, copied, version, status)

    def recorded(
        self, document: Document, status: str, intent: Intent
    ) -> tuple[Document, tuple[str, bool, int] | None]:
        """Return the document after settle recorded the state at Stripe, and the snapshot that is published with it."""
        payment = _payment(document, status, False)
        event = self.record(payment, self._as_read(intent), NOON)
        after = _document(payment, document)
        return after, (answer(after) if event else None)

    def refused(self, document: Document, status: str) -> Document:
        """Return the document after a refused capture was counted."""
        payment = _payment(document, status, False)
        payment.count_refused_capture(NOON)
        return _document(payment, document)

    def creation_refused(self, document: Document, status: str) -> Document:
        """Return the document after it was noted that Stripe refused to create its PaymentIntent."""
        payment = _payment(document, status, False)
        self.refuse(payment, NOON)
        return _document(payment, document)

    def ends_intent(self, document: Document, status: str, number: int) -> bool:
        """Whether the audit ends this PaymentIntent of the order."""
        ident = "pi" if document.intent == number else "another"
        return self.is_orphan(_payment(document, status, False), ident)

    def may_pay(self, document: Document, status: str) -> bool:
        """Whether the buyer may begin to pay."""
        try:
            _payment(document, status, False).check_payable("bo")
        except DomainError:
            return False
        return True

    def is_behind(self, copy: int, seen: int) -> bool:
        """Whether orders asks tickets again before it lets a buyer reserve who saw version `seen`."""
        return self.ask_again and orders.domain.is_outdated({"version": copy}, seen)

    def refund_asked(self, document: Document, status: str, name: str) -> Document:
        """Return the document after this operator asked for a refund; the same if that is refused, or was done."""
        payment = _payment(document, status, False)
        try:
            payment.request_refund(name, "rained off", NOON)
        except DomainError:
            return document
        return _document(payment, document)

    def partial_refund_requested(self, document: Document, status: str, ident: str) -> Document:
        """Return the document after an operator requested this partial refund; the same if that is refused.

        Its reason identifies it: a colleague who requests the same has another id for it.
        """
        payment = _payment(document, status, False)
        try:
            self.request_partially(payment, ident, PARTIAL, OPERATORS[0], reason_of(ident), NOON)
        except DomainError:
            return document
        return _document(payment, document)

    def next_partial_refund(self, document: Document, status: str, intent: Intent) -> PartialRefund:
        """Return the partial refund that settle makes next."""
        refund = _payment(document, status, False).next_partial_refund(self._as_read(intent))
        assert refund is not None
        return _stored_refund(refund)

    def partial_refund_postponed(self, document: Document, status: str, ident: str) -> Document:
        """Return the document after it was noted that Stripe failed to make a partial refund."""
        payment = _payment(document, status, False)
        self.postpone(payment, ident, NOON)
        return _document(payment, document)

    def abandoned(self, document: Document, status: str, intent: Intent) -> Document:
        """Return the document after the next partial refund was abandoned."""
        payment = _payment(document, status, False)
        payment.abandon_next_partial_refund(self._as_read(intent), NOON)
        return _document(payment, document)

    def may_reserve(self, snapshot: tuple[bool, int, str, int], version: int, seen: int) -> bool:
        """Whether a buyer who saw version `seen` of the ticket may reserve it, by orders' copy of it."""
        withdrawn, price_version, status, _ = snapshot
        changes = {"version": version, "withdrawn": withdrawn, "price_version": price_version, "status": status}
        try:
            self.check({**_ticket(), **changes}, "bo", seen, NOON)
        except DomainError:
            return False
        return True

    def _as_read(self, intent: Intent | None) -> Any:
        if intent is None:
            return None
        return payments.intent.PaymentIntent(
            id="pi", status=intent.status, client_secret="", amount_cents=PRICE, currency="usd", order_id="o",
            declines=(intent.declines or None) if self.count_at_stripe else None,
            refunded_cents=refunded_cents(intent), failed_refunds=len(intent.returned) + intent.refunds_returned,
            refund_ids=frozenset(intent.partial_refunds) if self.refunds_are_looked_for else frozenset(),
            failed_refund_ids=intent.returned,
        )  # fmt: skip


@cache
def _delivered(
    store_class: type[PaymentStore], document: Document | None, copied: str, version: int, status: str
) -> tuple[Document | None, bool]:
    store = store_class(mongomock.MongoClient(tz_aware=True).payments)
    if document is not None:
        store_document(store, document, copied)
    payment = store.apply_order({**_public(status, False), "version": version})
    return stored_document(store, document) if document else None, bool(payment)


@cache
def _answered(store_class: type[PaymentStore], document: Document, copied: str, version: int, status: str) -> Document:
    store = store_class(mongomock.MongoClient(tz_aware=True).payments)
    store_document(store, document, copied)
    store.store_answer({**_public(status, False), "version": version})
    return stored_document(store, document)


def store_document(store: PaymentStore, document: Document, status: str) -> Payment | None:
    """Store a document; return its payment, if orders was asked. `status` is that of the order's copy."""
    if not document.asked:
        store.open("o", NOON)
        if document.copy:
            store.apply_order({**_public(status, False), "version": document.copy})
        return None
    payment = _payment(document, status, False)
    payment.order["version"] = document.copy
    fields = asdict(payment)
    store.payments.collection.insert_one({"_id": fields.pop("id"), **fields, "work_left": document.work_left})
    return payment


def stored_document(store: PaymentStore, before: Document) -> Document:
    """Return the document that is stored, which was `before`."""
    found: Any = store.payments.collection.find_one({"_id": "o"})
    payment = store.find("o")
    after = _document(payment, before) if payment else before
    return after._replace(copy=found["order"]["version"], asked=payment is not None, work_left=found["work_left"])


def answer(document: Document) -> tuple[str, bool, int]:
    """Return the published state of a payment: its status, whether it is a final failure, and what was refunded."""
    return document.status, document.status == "cancelled", document.refunded_cents


def refunded_cents(intent: Intent) -> int:
    """Return how much of what was captured the buyer has back, at Stripe."""
    return PRICE if intent.is_refunded else PARTIAL * len(intent.kept_refunds)


def has_work_left(document: Document, status: str) -> bool:
    """Whether the reconciler has to visit a payment; `status` is that of the order's copy."""
    return _payment(document, status, False).has_work_left


@cache
def listing_followed(listing: Listing, number: int, version: int, status: str, any_wins: bool) -> Listing:
    """Return the listing after tickets took over a snapshot of order `number`."""
    ticket = _listing(listing)
    if any_wins:
        ticket.reservation = None
    order = {"id": str(number), "reservation_no": number, "version": version, "status": status, "expires_at": NOON}
    order |= {"price_cents": ticket.price_cents, "refunded_at": None}
    return _listed(listing, ticket) if ticket.apply_order(order, NOON) else listing


@cache
def listing_changed(listing: Listing, change: str, is_revised: bool) -> Listing:
    """Return the listing after its seller edited its price or withdrew it; the same if that is refused."""
    ticket = _listing(listing)
    revision = ticket.revision
    try:
        if change == "withdraw":
            ticket.withdraw("ana", NOON)
        else:
            ticket.edit("ana", NOON, **{**LISTED, "price_cents": ticket.price_cents + 100})
    except DomainError:
        return listing
    if not is_revised:
        ticket.revision = revision
    return _listed(listing, ticket)


def copy_status(claim: Claim, document: Document) -> str:
    """Return the order's status as the document's copy has it, "" until it is copied."""
    return claim.history[document.copy - 1] if document.copy else ""


def _listing(listing: Listing) -> tickets.domain.Ticket:
    withdrawn, price_version, status, revision = listing.snapshots[-1]
    held = {"sold": "complete", "reserved": "created"}.get(status, "cancelled")
    no, version = listing.reservation or (0, 0)
    reservation = {"order_id": "", "no": no, "version": version, "status": held, "expires_at": NOON} if no else None
    ticket = tickets.domain.Ticket.create("t", "ana", "usd", NOON, **LISTED)
    return replace(
        ticket,
        version=len(listing.snapshots),
        withdrawn=withdrawn,
        price_version=price_version,
        revision=revision,
        reservation=reservation,
    )


def _listed(before: Listing, ticket: tickets.domain.Ticket) -> Listing:
    public, held = ticket.snapshot(), ticket.reservation
    snapshot = (ticket.withdrawn, ticket.price_version, public["status"], ticket.revision)
    snapshots = (*before.snapshots, snapshot) if ticket.version > len(before.snapshots) else before.snapshots
    return before._replace(snapshots=snapshots, reservation=(held["no"], held["version"]) if held else None)


def _ticket() -> dict[str, Any]:
    return {
        "id": "t",
        "seller_id": "ana",
        "currency": "usd",
        "version": 1,
        "price_version": 1,
        "withdrawn": False,
        **LISTED,
    }


def _order(status: str, is_overdue: bool) -> Order:
    expires_at = EARLIER if is_overdue else LATER
    return replace(Order.place("o", _ticket(), "bo", 1, expires_at, LONG_AGO), status=status)


def _public(status: str, is_overdue: bool) -> dict[str, Any]:
    return _order(status, is_overdue).snapshot()


def _snapshot(payment: Snapshot | None) -> dict[str, Any]:
    status, final, refunded, turn = payment or Snapshot("open")
    about = {"status": status, "final": final, "refunded_cents": refunded}
    return {"order_id": "o", "version": turn, **about, "updated_at": NOON}


def _payment(document: Document, status: str, is_overdue: bool) -> Payment:
    return replace(
        payments.domain.Payment.open(_public(status, is_overdue), LONG_AGO),
        version=document.version,
        status=document.status,
        stripe_id=None if document.intent is None else "pi",
        creating_at=WHEN[document.creating],
        key_no=document.key_no,
        declines=document.declines,
        refunded_cents=document.refunded_cents,
        refund=ASKED if document.refund_asked else None,
        earlier_refunds=[ASKED] if document.asked_before else [],
        partial_refunds=list(map(_partial_refund, document.partial_refunds)),
        refund_failed_at=NOON if document.has_refund_failed else None,
        failed_refunds=document.failed_refunds,
        capture_tries=document.refusals,
        capture_refused_at=(LONG_AGO if document.refused_long_ago else NOON) if document.refusals else None,
    )


def reason_of(refund_id: str) -> str:
    """Return the reason of the request for a partial refund."""
    return payments.intent.request_of(refund_id).removeprefix(COLLEAGUE)


def _partial_refund(refund: PartialRefund) -> dict[str, Any]:
    about = {"id": refund.id, "amount_cents": PARTIAL, "by": OPERATORS[0], "reason": reason_of(refund.id), "at": NOON}
    moments = {"failed_at": WHEN[refund.failed], "abandoned_at": WHEN[refund.abandoned]}
    return {**about, "state": refund.state, "key_no": refund.key_no, **moments}


def _stored_refund(refund: dict[str, Any]) -> PartialRefund:
    failed, abandoned = (_word_for(refund.get(name)) for name in ("failed_at", "abandoned_at"))
    return PartialRefund(refund["id"], refund["state"], refund["key_no"], failed, abandoned)


def _word_for(moment: datetime | None) -> str:
    return next(word for word, known in WHEN.items() if known == moment)


def _document(payment: Payment, before: Document) -> Document:
    return before._replace(
        version=payment.version,
        status=payment.status,
        creating=_word_for(payment.creating_at),
        key_no=payment.key_no,
        declines=payment.declines,
        refusals=payment.capture_tries,
        refunded_cents=payment.refunded_cents,
        refund_asked=payment.refund is not None,
        asked_before=bool(payment.earlier_refunds),
        partial_refunds=tuple(map(_stored_refund, payment.partial_refunds)),
        has_refund_failed=payment.refund_failed_at is not None,
        failed_refunds=payment.failed_refunds,
        work_left=payment.has_work_left,
    )
