"""The buyer's actions: pay with a card, or open the page's card form and return from it."""

import logging
from collections.abc import Callable
from typing import Any

from libs.errors import is_unavailable, log_failure
from libs.events import VersionConflict
from payments.crash_points import CrashPoint, crash_point
from payments.declines import decline_error
from payments.domain import Payment
from payments.errors import AuthenticationRequired, InvalidCard, NothingCharged, StripeUnavailable
from payments.intent import PaymentIntent
from payments.settlement import Settlement

log = logging.getLogger(__name__)


class Checkout:
    """Takes a buyer's card. The copy of the order must exist already; every method returns snapshots.

    `known`: the payment as it was just read or stored.
    """

    def __init__(self, settlement: Settlement, publishable_key: str) -> None:
        self.settlement = settlement
        self.publishable_key = publishable_key

    def pay(self, order_id: str, buyer_id: str, token: str, known: Payment | None = None) -> dict[str, Any]:
        """Charge the card and return the payment; with `is_confirming` while the outcome is unknown.

        Raises NotOwner, OrderCancelled, InvalidCard, PaymentDeclined, AuthenticationRequired, PaymentRefused or
        NothingCharged. Raises errors of other unavailable services only before Stripe is asked to charge.
        """
        payment, _ = self.settlement.prepare(order_id, _payable_by(buyer_id), True, may_repeat=True, known=known)
        if payment.status != "open" or payment.stripe_id is None:
            return payment.snapshot()
        begun = payment.snapshot()
        try:
            return self._charge(payment, token)
        except NothingCharged:
            raise
        except Exception as error:
            if not is_unavailable(error):
                raise
            log_failure(log, error, "order %s is being confirmed, and its outcome cannot be stored now", order_id)
            return begun

    def _charge(self, payment: Payment, token: str) -> dict[str, Any]:
        """Charge the card in the attempt that has begun; return or raise the outcome."""
        try:
            authorized = self._confirm(payment, token)
        except InvalidCard:
            self._end_attempt(payment)
            raise
        except (StripeUnavailable, VersionConflict) as error:
            if isinstance(error, StripeUnavailable) and error.has_charged_nothing and self._end_attempt(payment):
                raise NothingCharged(str(error)) from error
            return self.settlement.store.get(payment.id).snapshot()
        return self._settled_outcome(payment, authorized)

    def _confirm(self, payment: Payment, token: str) -> PaymentIntent | None:
        """Charge the card; return the PaymentIntent if this request itself has authorized it."""
        stripe_id, key = str(payment.stripe_id), payment.attempt_key
        failures: list[StripeUnavailable] = []

        def confirm() -> PaymentIntent | None:
            try:
                return self.settlement.cards.confirm(stripe_id, token, key)
            except StripeUnavailable as error:
                failures.append(error)
                raise

        try:
            authorized = self.settlement.with_retries(payment.id, confirm)
        except StripeUnavailable as error:
            error.has_charged_nothing = all(each.has_charged_nothing for each in failures)
            raise
        crash_point(CrashPoint.CONFIRMED)
        return authorized

    def _end_attempt(self, begun: Payment) -> bool:
        """Record that this attempt has charged nothing; return False if another request of it may be in flight."""
        payment = self.settlement.store.get(begun.id)
        if begun.tried_before is None or payment.confirming_at != begun.confirming_at:
            return False
        payment.confirming_at = None
        payment.mark_changed(self.settlement.clock())
        try:
            self.settlement.store.save(payment)
        except VersionConflict:
            return False
        return True

    def open_form(self, order_id: str, buyer_id: str, known: Payment | None = None) -> dict[str, Any]:
        """Return {"client_secret", "publishable_key"}, with which the page lets Stripe itself take the card.

        This charges nothing and marks nothing: the page calls `announce` before the card is charged, and the outcome
        arrives by webhook, by `refresh`, or through the reconciler, which visits every open PaymentIntent.
        """
        _, intent = self.settlement.prepare(order_id, _payable_by(buyer_id), known=known)
        assert intent is not None, "prepare makes one"
        return {"client_secret": intent.client_secret, "publishable_key": self.publishable_key}

    def announce(self, order_id: str, buyer_id: str, known: Payment | None = None) -> dict[str, Any]:
        """Mark that the page is about to let Stripe charge a card; return the payment with the number of the `attempt`.

        The payment counts as being confirmed from now on, even if the page never learns the outcome, until `refresh`.
        Raises PaymentInProgress while another attempt is in flight, perhaps in another tab.
        """
        payment, _ = self.settlement.prepare(order_id, _payable_by(buyer_id), begins_attempt=True, known=known)
        return payment.snapshot() | {"attempt": payment.attempts}

    def refresh(self, order_id: str, buyer_id: str, answered: int | None = None) -> dict[str, Any]:
        """Settle and return the payment; while Stripe is unreachable, as stored, with `is_confirming` if it is open.

        `answered`: the attempt that Stripe has answered, as the page reports.
        """
        payment = self.settlement.store.get(order_id)
        payment.check_owner(buyer_id)
        try:
            return self.settlement.settle_unfinished(order_id, answered).snapshot()
        except (StripeUnavailable, VersionConflict):
            known = self.settlement.store.get(order_id)
            return known.snapshot() | {"is_confirming": known.status == "open"}

    def _settled_outcome(self, before: Payment, authorized: PaymentIntent | None) -> dict[str, Any]:
        """Settle, then return or raise the outcome of the attempt; one still unknown is left to the reconciler."""
        declines, known = before.declines, (before, authorized) if authorized else None
        try:
            payment, intent = self.settlement.settle(before.id, before.attempts, known)
        except (StripeUnavailable, VersionConflict):
            return self.settlement.store.get(before.id).snapshot()
        return _outcome(payment, intent, declines)


def _payable_by(buyer_id: str) -> Callable[[Payment], None]:
    """Return a check that raises the reason, if any, why this buyer may not pay."""
    return lambda payment: payment.check_payable(buyer_id)


def _outcome(payment: Payment, intent: PaymentIntent | None, declines_before: int) -> dict[str, Any]:
    if payment.status in ("authorized", "captured"):
        return payment.snapshot()
    if payment.declines > declines_before:
        raise decline_error(payment)
    if payment.has_ended:
        raise payment.order_cancelled()
    if intent is not None and intent.status == "requires_action":
        message = "Your bank wants you to confirm this payment."
        raise AuthenticationRequired(message, client_secret=intent.client_secret)
    if intent is not None and intent.status == "requires_payment_method" and payment.confirming_at is None:
        raise decline_error(payment, intent.decline_code)
    return payment.snapshot()
