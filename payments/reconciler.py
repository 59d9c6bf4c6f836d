"""The reconciler: finishes what crashes, lost replies and lost webhooks left unfinished."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial

from libs import context, tracing
from libs.alarms import is_alarming
from libs.errors import is_unavailable, log_failure
from libs.events import VersionConflict
from payments.alarms import alarm
from payments.card_provider import IntentMissing, StripeBusy, UnexpectedStripeError
from payments.crash_points import CrashPoint, crash_point
from payments.domain import Payment
from payments.errors import StripeUnavailable
from payments.orphans import end_orphan, owner_of_orphan
from payments.settlement import Settlement
from payments.webhooks import Webhook

log = logging.getLogger(__name__)

BATCH = 100
URGENT_AFTER, OTHERS_AFTER = timedelta(seconds=5), timedelta(seconds=60)
REPORTED_ALREADY = {
    "payment_intent.amount_capturable_updated": ("authorized", "captured", "refunded"),
    "payment_intent.succeeded": ("captured", "refunded"),
    "payment_intent.canceled": ("cancelled",),
}
"""The statuses of a payment in which a webhook of a type reports nothing new; ignoring it is like losing it."""
SETTLED = "settled"
"""The outcome of a webhook about a known payment, which alone is not counted."""
WEBHOOK_RETRY_AFTER = timedelta(seconds=10)
WEBHOOKS_AT_ONCE = 8
"""How many are settled at once on arrival; others wait for the next visit."""


class Background:
    """Does work in threads of its own, a few at a time; work that finds none free is skipped."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(WEBHOOKS_AT_ONCE)

    def __call__(self, work: Callable[[], object]) -> None:
        """Begin the work, or skip it."""
        if self._free.acquire(blocking=False):
            threading.Thread(target=self._do, args=(work,), daemon=True).start()

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            self._free.release()


class Reconciler:
    """Visits each payment with work left, and each webhook that could not be settled when it came.

    `begin` starts to settle a webhook that has just come, or leaves it to the next visit.
    """

    def __init__(self, settlement: Settlement, begin: Callable[[Callable[[], object]], None] | None = None) -> None:
        self.settlement = settlement
        self.store = settlement.store
        self._begin = begin or Background()

    def run(self) -> None:
        """Settle the webhooks that wait, then the payments that are due, the longest untouched first.

        Any number of instances may do this at once.
        """
        for _ in range(BATCH):
            now = self.settlement.clock()
            webhook = self.store.inbox.take_waiting(now - WEBHOOK_RETRY_AFTER, now)
            if webhook is None or not self._settle_late(webhook):
                break
        for _ in range(BATCH):
            payment = self.store.take_unfinished(self.settlement.clock(), URGENT_AFTER, OTHERS_AFTER)
            if payment is None or not self._visit(payment.id):
                break

    def _settle_late(self, webhook: Webhook) -> bool:
        with context.work(webhook.correlation_id), _traced("process", webhook, webhook.traceparent):
            return self.settle_webhook(webhook)

    def receive(self, webhook: Webhook) -> None:
        """Store a webhook, and begin to settle it; Stripe's answer must not depend on how long that takes.

        One that reports nothing new, as most that follow from our own requests, counts as settled, and is not stored.
        """
        payment = self.store.find_by_stripe_id(webhook.stripe_id) if webhook.stripe_id else None
        with _traced("receive", webhook, payment.traceparent if payment else None):
            if payment is not None and _is_old_news(webhook, payment):
                return
            webhook = replace(webhook, traceparent=tracing.traceparent() or "")
            self.store.inbox.add(webhook, self.settlement.clock())
            crash_point(CrashPoint.WEBHOOK_STORED)
            self._begin(partial(self._settle_late, webhook))

    def settle_webhook(self, webhook: Webhook) -> bool:
        """Settle the payment that a webhook is about; one about an unknown payment is only counted.

        Returns whether it is worth going on to the next: not while Stripe or the database is unreachable.
        """
        try:
            outcome = self._settle_payment_of(webhook)
        except Exception as error:  # noqa: BLE001 - it is stored, so Stripe need not send it again
            return self._webhook_waits(webhook, error)
        if outcome != SETTLED:
            self.store.count(f"webhooks_{outcome}")
        self.store.inbox.settle(webhook, outcome, self.settlement.clock())
        return True

    def _webhook_waits(self, webhook: Webhook, error: Exception) -> bool:
        log_failure(log, error, "webhook %s waits", webhook.id)
        is_about_one = not is_unavailable(error) or (isinstance(error, StripeUnavailable) and error.is_about_one)
        if is_about_one or isinstance(error, StripeUnavailable):
            failures = self.store.inbox.fail(webhook, f"{type(error).__name__}: {error}")
            if is_alarming(failures):
                alarm(self.store, "webhook_stuck", f"{webhook.id} could not be settled {failures} times: {error}")
        return is_about_one

    def _settle_payment_of(self, webhook: Webhook) -> str:
        payment = self._payment_of(webhook)
        if payment is None:
            return "unknown"
        if not _is_old_news(webhook, payment):
            self.settlement.settle(payment.id)
        return SETTLED

    def _payment_of(self, webhook: Webhook) -> Payment | None:
        payment = self.store.find_by_stripe_id(webhook.stripe_id) if webhook.stripe_id else None
        if payment is None and webhook.order_id is not None:
            payment = self.store.find(webhook.order_id)
            if payment is not None and payment.stripe_id is not None:
                if webhook.stripe_id is not None:
                    self._end_orphan(webhook.stripe_id, payment.id)
                return None
        return payment

    def _end_orphan(self, stripe_id: str, order_id: str) -> None:
        try:
            intent = self.settlement.cards.retrieve(stripe_id)
        except IntentMissing:
            alarm(self.store, "unknown_intent", f"{stripe_id} is for order {order_id}, which Stripe does not know")
            return
        if owner := owner_of_orphan(self.store, intent):
            end_orphan(self.settlement.cards, intent, owner, partial(alarm, self.store), self.settlement.clock())

    def _visit(self, order_id: str) -> bool:
        """Settle one payment; return whether it is worth going on to the next."""
        try:
            self.settlement.settle(order_id)
            self.store.succeed(order_id)
            return True
        except UnexpectedStripeError as error:
            alarm(self.store, "unexpected_stripe_error", f"the payment of order {order_id} waits: {error}")
            failure: Exception = error
        except (VersionConflict, StripeBusy) as error:  # another worker is settling it
            failure = error
        except StripeUnavailable as error:
            alarm(self.store, "stripe_unreachable", f"nothing can be settled: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - one that cannot be settled must not keep the others waiting
            log_failure(log, error, "the payment of order %s could not be settled", order_id)
            if is_unavailable(error):
                return False
            failure = error
        failures = self.store.fail(order_id, f"{type(failure).__name__}: {failure}", self.settlement.clock())
        if is_alarming(failures):
            alarm(self.store, "payment_stuck", f"order {order_id} could not be settled {failures} times: {failure}")
        return True


def _traced(operation: str, webhook: Webhook, parent: str | None) -> AbstractContextManager[object]:
    """Return the span of handling a webhook, in the trace of the payment, with a link to the request that had it."""
    about = tracing.messaging_attributes(operation, "webhooks", webhook.id, "stripe")
    return tracing.consumer_span(parent, "consumer", f"{operation} {webhook.type}", about, links_current=True)


def _is_old_news(webhook: Webhook, payment: Payment) -> bool:
    """Whether a webhook reports a state that is already stored, and nothing is left to capture or to void."""
    is_unfinished = payment.status == "authorized" and payment.order["status"] != "created"
    return not is_unfinished and payment.status in REPORTED_ALREADY.get(webhook.type, ())
