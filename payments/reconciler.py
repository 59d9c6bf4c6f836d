"""The reconciler: finishes what crashes, lost replies and lost webhooks left unfinished."""

import logging
from datetime import timedelta

from libs import context
from libs.errors import is_unavailable, log_failure
from libs.events import VersionConflict
from payments.alarms import alarm
from payments.card_provider import UnexpectedStripeError
from payments.crash_points import CrashPoint, crash_point
from payments.errors import StripeUnavailable
from payments.settlement import Settlement
from payments.webhooks import Webhook

log = logging.getLogger(__name__)

BATCH = 100
URGENT_AFTER, OTHERS_AFTER = timedelta(seconds=5), timedelta(seconds=60)
WEBHOOK_RETRY_AFTER = timedelta(seconds=10)


class Reconciler:
    """Visits each payment with work left, and each webhook that could not be settled when it came."""

    def __init__(self, settlement: Settlement) -> None:
        self.settlement = settlement
        self.store = settlement.store

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
        with context.work(webhook.correlation_id):
            return self.settle_webhook(webhook)

    def receive(self, webhook: Webhook) -> None:
        """Store a webhook, and try to settle it at once; one that cannot be settled now waits."""
        self.store.inbox.add(webhook, self.settlement.clock())
        crash_point(CrashPoint.WEBHOOK_STORED)
        self.settle_webhook(webhook)

    def settle_webhook(self, webhook: Webhook) -> bool:
        """Settle the payment that a webhook is about; one about an unknown payment is only counted.

        Returns whether it is worth going on to the next: not while Stripe or the database is unreachable.
        """
        try:
            outcome = self._settle_payment_of(webhook)
        except (StripeUnavailable, VersionConflict) as error:
            log.warning("webhook %s waits: %s", webhook.id, error)
            return isinstance(error, (VersionConflict, UnexpectedStripeError))
        except Exception as error:  # noqa: BLE001 - it is stored, so Stripe need not send it again
            log_failure(log, error, "webhook %s could not be settled", webhook.id)
            return not is_unavailable(error)
        else:
            self.store.count(f"webhooks_{outcome}")
            self.store.inbox.settle(webhook, outcome, self.settlement.clock())
        return True

    def _settle_payment_of(self, webhook: Webhook) -> str:
        order_id = self._order_of(webhook)
        if order_id is None:
            return "unknown"
        if webhook.type == "charge.dispute.created":
            alarm(self.store, "dispute_opened", f"the charge of order {order_id} is disputed ({webhook.stripe_id})")
        self.settlement.settle(order_id)
        return "settled"

    def _order_of(self, webhook: Webhook) -> str | None:
        payment = self.store.find_by_stripe_id(webhook.stripe_id) if webhook.stripe_id else None
        if payment is None and webhook.order_id is not None:
            payment = self.store.find(webhook.order_id)
            if payment is not None and payment.stripe_id is not None:
                theirs, ours = webhook.stripe_id, payment.stripe_id
                alarm(self.store, "unknown_intent", f"{theirs} is for order {payment.id}, whose is {ours}")
                return None
        return payment.id if payment else None

    def _visit(self, order_id: str) -> bool:
        """Settle one payment; return whether it is worth going on to the next."""
        try:
            self.settlement.settle(order_id)
        except VersionConflict:
            pass  # another worker is settling it
        except UnexpectedStripeError as error:
            alarm(self.store, "unexpected_stripe_error", f"the payment of order {order_id} waits: {error}")
        except StripeUnavailable as error:
            alarm(self.store, "stripe_away", f"nothing can be settled: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - one that cannot be settled must not keep the others waiting
            log_failure(log, error, "the payment of order %s could not be settled", order_id)
            return not is_unavailable(error)
        return True
