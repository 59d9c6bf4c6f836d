"""The nightly audit: compare Stripe with our database both ways, settle what differs, report what cannot be."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from libs.events import VersionConflict
from payments.alarms import alarm
from payments.card_provider import IntentMissing, StripeBusy
from payments.decisions import matches_order
from payments.domain import Payment
from payments.errors import StripeUnavailable
from payments.intent import PaymentIntent
from payments.orphans import end_orphan, owner_of_orphan
from payments.recording import recorded_status
from payments.settlement import Settlement

WINDOW, OVERLAP = timedelta(hours=48), timedelta(hours=24)
"""How far an audit looks back: at least, and beyond the last one that was completed."""
HOUR_UTC = 3
LEASE = timedelta(minutes=5)
"""How long an audit may make no progress before another instance restarts it; each payment takes seconds at most."""
GRACE_PERIOD = timedelta(minutes=5)
"""How long after its last change a payment may still be settling without help."""


@dataclass
class Report:
    """What an audit found: how many PaymentIntents, the orders it settled, and its alarms as {"name", "sentence"}."""

    since: str
    compared: int = 0
    settled: list[str] = field(default_factory=list)
    alarms: list[dict[str, str]] = field(default_factory=list)

    def as_json(self, counters: dict[str, int]) -> dict[str, Any]:
        """Return the report, and the counters, as JSON values."""
        return {**asdict(self), "counters": counters}


class Audit:
    """Compares the PaymentIntents, refunds and disputes of the last 48 hours, and every dispute that is still open.

    If no audit was completed last night, it goes back to a day before the last one that was.

    It also makes partial refunds that are still waiting: instances of an earlier version take them off the reconciler's
    list.
    """

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.store = settlement.store

    def run_if_due(self) -> Report | None:
        """Run once a night, whatever the number of instances.

        After a failure it runs again at the next call; if it was killed half way, after five minutes.
        """
        now = self.settlement.clock()
        due = last_occurrence(HOUR_UTC, now)
        if not self.store.claim_run("audit", due, now, now + LEASE):
            return None
        try:
            report = _Comparison(self.settlement, self._extend_lease).run()
        except Exception as error:  # noqa: BLE001 - whatever it was, the night must not pass without an audit
            self.store.finish_run("audit", None)
            alarm(self.store, "audit_failed", f"Stripe and our payments could not be compared: {error}")
            return None
        self.store.finish_run("audit", due)
        return report

    def _extend_lease(self) -> None:
        self.store.extend_run("audit", self.settlement.clock() + LEASE)

    def run(self) -> Report:
        """Compare, settle, and return the report; every alarm is also logged and counted."""
        return _Comparison(self.settlement).run()


class _Comparison:
    """One audit, with its report."""

    def __init__(self, settlement: Settlement, progress: Callable[[], None] = lambda: None) -> None:
        self.settlement, self.progress = settlement, progress
        self.store, self.cards = settlement.store, settlement.cards
        self.noted_at = settlement.clock()
        last = self.store.last_run("audit") or self.noted_at
        self.since = min(self.noted_at - WINDOW, last - OVERLAP)
        self.report = Report(self.since.isoformat())

    def run(self) -> Report:
        """Compare both ways; return the report."""
        seen = set()
        for intent in self.cards.list_since(self.since):
            self._compare(intent)
            seen.add(intent.id)
            self._note_progress()
        others = self.cards.list_refunded_or_disputed_since(self.since).union(self.store.list_intents(self.since))
        for ident in others - seen:
            payment = self.store.find_by_stripe_id(ident)
            if payment is not None:
                self._refresh(payment)
            self._note_progress()
        return self.report

    def _note_progress(self) -> None:
        """Extend the audit's lease now and then."""
        now = self.settlement.clock()
        if now - self.noted_at > LEASE / 5:
            self.noted_at = now
            self.progress()

    def _compare(self, intent: PaymentIntent) -> None:
        self.report.compared += 1
        payment = self.store.find_by_stripe_id(intent.id) or self._adopt(intent)
        if payment is None:
            if intent.order_id is not None:  # else it is not one of ours
                self._end_orphan(intent)
            return
        if _differs(payment, intent) or payment.requested_refunds:
            payment = self._refresh(payment)
        self._check(payment, intent)

    def _adopt(self, intent: PaymentIntent) -> Payment | None:
        """Let a payment adopt its PaymentIntent if a crash interrupted the creation; return it if it did."""
        payment = self.store.find(intent.order_id)
        if payment is None or payment.creating_at is None or payment.stripe_id is not None:
            return None
        payment = self._refresh(payment)
        return payment if payment.stripe_id == intent.id else None

    def _end_orphan(self, intent: PaymentIntent) -> None:
        owner = owner_of_orphan(self.store, intent)
        if owner is None:
            what = f"{intent.id} ({intent.status}) is for order {intent.order_id}, for which we have none"
            self._alarm("unknown_intent", f"{what}; it may be another system's that uses this Stripe account")
            return
        try:
            if end_orphan(self.cards, intent, owner, self._alarm, self.settlement.clock()):
                self.report.settled.append(owner.id)
        except StripeUnavailable as error:
            _raise_if_unreachable(error)
            self._alarm("unexpected_stripe_error", f"{intent.id} does not end: {error}")

    def _check(self, payment: Payment, intent: PaymentIntent) -> None:
        who = f"order {payment.id}, {intent.id}"
        if not matches_order(payment, intent) or intent.captured_cents not in (None, payment.amount_cents):
            taken = f"{intent.captured_cents} of {intent.amount_cents} {intent.currency} were taken"
            self._alarm("wrong_amount", f"{who}: it costs {payment.amount_cents} {payment.currency}, {taken}")
        if self.settlement.clock() - payment.updated_at < GRACE_PERIOD:
            return
        if payment.status == "captured" and payment.order["status"] != "complete":
            self._alarm("captured_without_order", f"{who}: captured, but the order is {payment.order['status']}")
        if _differs(payment, intent):
            self._alarm("not_settled", f"{who}: Stripe says {intent.status}, we say {payment.status}")

    def _refresh(self, payment: Payment) -> Payment:
        """Settle a payment and return it, recording whether that changed anything."""
        try:
            settled = self.settlement.settle(payment.id)[0]
        except (VersionConflict, StripeBusy):
            return payment  # another worker is settling it right now
        except IntentMissing:
            self._alarm("missing_at_stripe", f"order {payment.id}: Stripe knows no {payment.stripe_id}")
            return payment
        except StripeUnavailable as error:
            _raise_if_unreachable(error)
            self._alarm("unexpected_stripe_error", f"the payment of order {payment.id} waits: {error}")
            return payment
        if settled.version != payment.version:
            self.report.settled.append(payment.id)
        return settled

    def _alarm(self, name: str, sentence: str) -> None:
        alarm(self.store, name, sentence)
        self.report.alarms.append({"name": name, "sentence": sentence})


def last_occurrence(hour: int, now: datetime) -> datetime:
    """Return the last time at which this hour began, UTC."""
    today = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def _raise_if_unreachable(error: StripeUnavailable) -> None:
    """Raise the error unless it concerns this PaymentIntent alone."""
    if not (error.is_about_one or error.is_replayed):
        raise error


def _differs(payment: Payment, intent: PaymentIntent) -> bool:
    status = recorded_status(intent, payment.is_paid_by(intent))
    at_stripe = (status, intent.refunded_cents, intent.refunding_cents, intent.dispute or payment.dispute)
    return at_stripe != (payment.status, payment.refunded_cents, payment.refunding_cents, payment.dispute)
