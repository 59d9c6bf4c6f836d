"""The payments service: authorize, capture, void, refund; always by way of `settle`."""

import logging
from datetime import timedelta
from typing import Any

from nameko.extensions import DependencyProvider
from nameko.timer import timer

from libs.clock import utc_now
from libs.events import Stored, VersionConflict, handles
from libs.events.catalogue import OrderAwaitingPayment, OrderCancelled, OrderCompleted, OrderCreated, OrderUpdated
from libs.events.handlers import Unavailable
from libs.rpc import RemoteError
from libs.rpc.caller import CallerProvider, Forbidden, Neighbours, Unauthenticated
from libs.rpc.entrypoint import rpc
from libs.settings import required
from payments import domain
from payments.card_provider import Busy, CardProvider
from payments.domain import Intent, Payment, StripeUnavailable
from payments.settlement import Settlement
from payments.store import PaymentStore

log = logging.getLogger(__name__)

EXPECTED = (domain.Refused, StripeUnavailable, Unauthenticated, Forbidden)
RECONCILE_SECONDS, RECONCILE_BATCH = 5, 100
CONFIRMING_FOR, UNTOUCHED_FOR = timedelta(seconds=5), timedelta(seconds=60)


class Cards(DependencyProvider):
    """Gives the service Stripe. Needs STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET; STRIPE_API_BASE names a stand-in."""

    def setup(self) -> None:
        """Read the keys; stop the start when one is missing."""
        config = self.container.config
        keys = required("STRIPE_SECRET_KEY", config), required("STRIPE_WEBHOOK_SECRET", config)
        self.cards = CardProvider(*keys, api_base=config.get("STRIPE_API_BASE") or None)

    def get_dependency(self, worker_ctx: Any) -> CardProvider:
        """Return the provider."""
        return self.cards


class PaymentsService:
    """Takes the money of each order once, and gives it back when the order did not complete."""

    name = "payments"
    store = Stored(PaymentStore)
    caller = CallerProvider()
    neighbours = Neighbours()
    cards = Cards()

    @rpc(expected_exceptions=EXPECTED, sensitive_arguments=("token",))
    def pay(self, order_id: str, token: str) -> dict[str, Any]:
        """Pay one of the caller's orders with a PaymentMethod's id or a card token. Returns the payment.

        Raises PaymentDeclined or AuthenticationRequired; a repeat returns the same payment. `is_confirming` says that
        what came of it is not known yet: it will be, and nobody must pay again meanwhile.
        """
        payment = self._payable(order_id)
        if payment.status != "open":
            return payment.public()
        try:
            self.cards.confirm(payment.stripe_id, str(token), f"confirm:{payment.id}:{payment.declines + 1}")
        except domain.InvalidCard:
            self._settlement().settle(payment.id)  # nothing was tried: the payment is no longer being confirmed
            raise
        except (StripeUnavailable, Busy):
            return _public(self.store.get(payment.id))
        return self._outcome(payment)

    @rpc(expected_exceptions=EXPECTED)
    def get(self, order_id: str) -> dict[str, Any]:
        """Return the payment of one of the caller's orders."""
        buyer_id, payment = self.caller.user_id, self.store.get(order_id)
        payment.check_owner(buyer_id)
        return _public(payment)

    @rpc(expected_exceptions=EXPECTED)
    def settle(self, order_id: str) -> dict[str, Any]:
        """Bring an order's payment forward and return it; for orders and for operators."""
        self.caller.require("orders", "operator")
        return _public(self._settlement().settle(order_id)[0])

    @rpc(expected_exceptions=EXPECTED)
    def receive_webhook(self, payload: str, signature: str) -> None:
        """Take a webhook of Stripe's as a hint to settle; for the gateway. Raises InvalidSignature."""
        self.caller.require("gateway")
        order_id = self.cards.read_webhook(payload, signature)
        try:
            if order_id is not None:
                self._settlement().settle(order_id)
        except domain.PaymentNotFound:
            return  # not one of ours; Stripe would send it again for days

    @handles(OrderCreated)
    def on_order_created(self, order: dict[str, Any]) -> None:
        """There is an order that may be paid."""
        self._follow(order)

    @handles(OrderAwaitingPayment)
    def on_order_awaiting_payment(self, order: dict[str, Any]) -> None:
        """The authorization came in time: capture it."""
        self._follow(order)

    @handles(OrderUpdated)
    def on_order_updated(self, order: dict[str, Any]) -> None:
        """Something else about the order has changed."""
        self._follow(order)

    @handles(OrderCancelled)
    def on_order_cancelled(self, order: dict[str, Any]) -> None:
        """Void what was authorized, refund what was captured."""
        self._follow(order)

    @handles(OrderCompleted)
    def on_order_completed(self, order: dict[str, Any]) -> None:
        """All is well."""
        self._follow(order)

    @timer(interval=RECONCILE_SECONDS)
    def reconcile(self) -> None:
        """Finish what crashes, lost replies and lost webhooks left undone."""
        now = utc_now()
        for payment in self.store.list_unfinished(now - CONFIRMING_FOR, now - UNTOUCHED_FOR, RECONCILE_BATCH):
            try:
                self._settlement().settle(payment.id)
            except VersionConflict:
                continue  # somebody else is at it
            except Exception:  # noqa: BLE001 - one that cannot be settled must not keep the others waiting
                log.exception("the payment of order %s could not be settled", payment.id)

    def _follow(self, order: dict[str, Any]) -> None:
        """Keep the copy, then settle even if it was known already: whoever kept it may have died before settling."""
        self.store.follow(order, utc_now())
        try:
            self._settlement().settle(order["id"])
        except StripeUnavailable as error:
            raise Unavailable(str(error)) from error

    def _outcome(self, before: Payment) -> dict[str, Any]:
        """Return, or raise, what came of trying the card; what nobody knows yet the reconciler will find out."""
        try:
            payment, intent = self._settlement().settle(before.id)
        except (StripeUnavailable, VersionConflict):
            return _public(self.store.get(before.id))
        return _told(payment, intent, before.declines)

    def _payable(self, order_id: str) -> Payment:
        """Return the caller's payment, with its PaymentIntent, marked as being confirmed if it is still open."""
        buyer_id = self.caller.user_id
        payment = self._payment(order_id)
        return self._settlement().begin(payment.id, lambda payment: payment.check_payable(buyer_id))

    def _payment(self, order_id: str) -> Payment:
        try:
            payment: Payment = self.store.get(order_id)
        except domain.PaymentNotFound:
            payment = self._fetched(str(order_id))
        return payment

    def _fetched(self, order_id: str) -> Payment:
        """Ask orders about an order that we have not heard of yet."""
        try:
            snapshot = self.neighbours.call("orders", "snapshot", {"order_id": order_id})
        except RemoteError as error:
            raise domain.OrderNotFound("There is no such order.") from error
        self.store.follow(OrderCreated.load(snapshot), utc_now())
        payment: Payment = self.store.get(order_id)
        return payment

    def _settlement(self) -> Settlement:
        return Settlement(self.store, self.cards)


def _told(payment: Payment, intent: Intent | None, declines_before: int) -> dict[str, Any]:
    if payment.status in ("authorized", "captured"):
        return payment.public()
    if payment.declines > declines_before:
        raise domain.declined(payment)
    if payment.status in ("cancelled", "refunded"):
        raise domain.OrderCancelled("This order was cancelled; you have not been charged.")
    if intent is not None and intent.status == "requires_action":
        message = "Your bank wants you to confirm this payment."
        raise domain.AuthenticationRequired(message, client_secret=intent.client_secret)
    return payment.public()


def _public(payment: Payment) -> dict[str, Any]:
    return payment.public()
