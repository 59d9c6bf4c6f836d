"""The payments service: authorize, capture, void, refund; always through `settle`."""

from typing import Any

from libs import parked_events
from libs.amqp.timer import timer
from libs.clock import utc_now
from libs.contracts.attempts import Counter, Limit
from libs.contracts.errors import DomainError, OrderNotFound
from libs.contracts.events import (
    OrderAwaitingPayment,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    OrderUpdated,
)
from libs.contracts.limits import MAXIMUM_PRICE_CENTS
from libs.contracts.stripe_webhooks import SUBSCRIBED_TYPES
from libs.events import handles
from libs.events.anti_entropy import BATCH, PAGE, AntiEntropyProvider, Source, rpc_source, stale_in
from libs.rpc import RemoteError, arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import CallerProvider, Forbidden, ServiceClient, Unauthenticated
from libs.rpc.entrypoint import rpc
from payments.declines import buyer_view
from payments.domain import Payment
from payments.errors import PaymentNotFound, StripeUnavailable
from payments.order_copies import copy_order
from payments.provider import PaymentsProvider
from payments.recording import CONFIRM_PERIOD
from payments.refunds import (
    PENDING_AFTER,
    list_failed_refunds,
    list_late_refunds,
    refund,
    refund_partially,
    with_refunds,
)
from payments.store import PaymentStore

EXPECTED = (DomainError, InvalidArguments, StripeUnavailable, Unauthenticated, Forbidden)
RECONCILE_SECONDS = 5
PAYING, ASKING = Limit(free=100, longest_wait_seconds=30), Limit(free=100, longest_wait_seconds=30)
"""How many requests to Stripe a buyer may cause within an hour: to pay, card form included, and for the outcome."""
LONGEST_ID = 100
"""Characters of what may be an order's id."""
AUDIT_SECONDS = 600
"""How often to check whether tonight's audit is due."""


class PaymentsService(parked_events.ParkedEvents):
    """Takes the money of each order once, and gives it back when the order did not complete.

    Methods that wait for Stripe have workers of their own (`is_slow`), so that they never hold up the others.
    """

    name = "payments"
    money = PaymentsProvider()
    caller = CallerProvider()
    services = ServiceClient()
    anti_entropy = AntiEntropyProvider("payments.orders", lambda service: service._orders())

    @rpc(expected_exceptions=EXPECTED, is_slow=True, sensitive_arguments=("token",))
    def pay(self, order_id: str, token: str) -> dict[str, Any]:
        """Pay one of the caller's orders with a PaymentMethod's id or a card token. Returns the payment.

        Raises PaymentDeclined or AuthenticationRequired; a repeat returns the same payment. `is_confirming` means
        that the outcome is not known yet: it will be, and the buyer must not pay again meanwhile.
        """
        buyer_id = self._count("paying", PAYING)
        return self.money.checkout.pay(order_id, buyer_id, str(token), self._find_copied(order_id, buyer_id))

    @rpc(expected_exceptions=EXPECTED, is_slow=True)
    def create_intent(self, order_id: str) -> dict[str, Any]:
        """Return {"client_secret", "publishable_key"} for the card form of one of the caller's orders."""
        buyer_id = self._count("paying", PAYING)
        return self.money.checkout.open_form(order_id, buyer_id, self._find_copied(order_id, buyer_id))

    @rpc(expected_exceptions=EXPECTED, is_slow=True)
    def announce(self, order_id: str) -> dict[str, Any]:
        """Mark that the page is about to let Stripe charge a card; return the payment with the `attempt`'s number."""
        buyer_id = self._count("paying", PAYING)
        return self.money.checkout.announce(order_id, buyer_id, self._find_copied(order_id, buyer_id))

    @rpc(expected_exceptions=EXPECTED, is_slow=True)
    def refresh(self, order_id: str, answered: int | None = None) -> dict[str, Any]:
        """Settle one of the caller's orders and return the payment; for the page to which a buyer returns.

        `answered`: the attempt that Stripe has answered, as the page reports.
        """
        buyer_id = self._count("asking", ASKING)
        answered = answered if isinstance(answered, int) else None
        return buyer_view(self.money.checkout.refresh(order_id, buyer_id, answered))

    @rpc(expected_exceptions=EXPECTED)
    def get(self, order_id: str) -> dict[str, Any]:
        """Return the payment of one of the caller's orders, with the `decline_message` of the newest decline."""
        buyer_id, payment = self.caller.user_id, self.money.store.get(order_id)
        payment.check_owner(buyer_id)
        return buyer_view(payment.snapshot())

    @rpc(expected_exceptions=EXPECTED, is_slow=True)
    def settle(self, order_id: str) -> dict[str, Any]:
        """Settle an order's payment and return it; for orders and for operators."""
        self.caller.require("orders", "operator")
        return self.money.settlement.settle(order_id)[0].snapshot()

    @rpc(expected_exceptions=EXPECTED)
    def settle_all(self, order_ids: Any) -> dict[str, Any]:
        """Settle these orders' payments (a list of at most 100 ids) and return their outcomes; for orders.

        Returns {"unpaid", "settled"}: the ids of those for which nothing is authorized, or being charged, and the
        payments that are authorized or ended. The outcomes of the others could not be learned, or not in time.
        """
        self.caller.require("orders", "operator")
        return self.money.outcomes.find(arguments.texts("order_ids", order_ids, BATCH))

    @rpc(expected_exceptions=EXPECTED)
    def snapshots(self, ids: Any) -> Any:
        """Return those of the payments of these orders (a list of at most 100 ids) that exist; for orders."""
        self.caller.require("orders", "operator")
        return [payment.snapshot() for payment in self.money.store.find_all(arguments.texts("ids", ids, BATCH))]

    @rpc(expected_exceptions=EXPECTED)
    def versions(self, after: str | None = None) -> Any:
        """Return a page of [payment's id, version of its newest event], for orders, which compares."""
        self.caller.require("orders", "operator")
        return self.money.store.published_versions(arguments.optional_text("after", after), PAGE)

    @rpc(expected_exceptions=EXPECTED)
    def changes(self, after: Any = None) -> dict[str, Any]:
        """Return which payments published, as in Aggregates.changes, with the rows of `versions`; for orders."""
        self.caller.require("orders", "operator")
        return self.money.store.published_changes(arguments.position("after", after), PAGE)

    @rpc(expected_exceptions=EXPECTED, is_slow=True)
    def refund(self, order_id: str, reason: str, amount_cents: int | None = None) -> dict[str, Any]:
        """Refund an order, in full once, or some of it; for operators.

        Returns the payment with who asked for which refund, why and when. The same amount is refunded again only for
        another reason, or if that failed. The order stays complete; once everything is refunded, it has the time of
        that.
        A refund of everything replaces those that are not made yet. Raises ReasonMissing, InvalidArguments,
        AlreadyRefunded when another operator has asked for everything, NotCaptured,
        ChargeDisputed, RefundTooLarge, or RefundUnderWay.
        """
        operator = self.caller.operator
        if amount_cents is None:
            return refund(self.money.settlement, order_id, reason, requested_by=operator)
        amount = arguments.integer("amount_cents", amount_cents, 1, MAXIMUM_PRICE_CENTS)
        return refund_partially(self.money.settlement, order_id, amount, reason, requested_by=operator)

    @rpc(expected_exceptions=EXPECTED, is_slow=True)
    def audit(self) -> dict[str, Any]:
        """Run the audit now, as every night; for operators. Returns the report and the counters."""
        self.caller.require("operator")
        return self.money.audit.run().as_json(self.money.store.counts())

    @rpc(expected_exceptions=EXPECTED)
    def stuck(self) -> dict[str, Any]:
        """Return {"payments", "webhooks", "confirming", "refunds", "late_refunds", "pending_refunds"}, 100 of each.

        Payments and webhooks that could not be settled 20 times or more, with how often, since when and the last
        reason: they are still retried. Also, as [{"order_id", "since"}], payments whose outcome has been unknown for
        too long, refunds that failed, with their details, and those that are late, or pending at Stripe for a day.
        """
        self.caller.require("operator")
        store = self.store
        confirming = store.list_confirming(utc_now() - CONFIRM_PERIOD, BATCH)
        pending = store.list_refunding(utc_now() - PENDING_AFTER, BATCH)
        return {
            "payments": store.list_stuck(BATCH),
            "webhooks": store.inbox.list_stuck(BATCH),
            "confirming": [{"order_id": each.id, "since": each.confirming_at} for each in confirming],
            "refunds": list_failed_refunds(store, BATCH),
            "late_refunds": list_late_refunds(store, utc_now())[:BATCH],
            "pending_refunds": [{"order_id": each.id, "since": each.updated_at} for each in pending],
        }

    @rpc(expected_exceptions=EXPECTED)
    def story(self, order_id: str) -> dict[str, Any]:
        """Return an order's payment with its refunds and its `webhooks` from Stripe; for operators."""
        self.caller.require("operator")
        payment = self.store.get(order_id)
        webhooks = self.store.inbox.list_about(payment.stripe_id) if payment.stripe_id else []
        return {**with_refunds(payment), "confirming_at": payment.confirming_at, "webhooks": webhooks}

    @rpc(expected_exceptions=EXPECTED)
    def find(self, stripe_id: str) -> dict[str, Any]:
        """Return the payment with this PaymentIntent; for operators. Raises PaymentNotFound."""
        self.caller.require("operator")
        found = self.store.find_by_stripe_id(arguments.text("stripe_id", stripe_id))
        if found is None:
            raise PaymentNotFound("No order is paid by this PaymentIntent.")
        return found.snapshot()

    @rpc(expected_exceptions=EXPECTED, is_slow=True)
    def repair(self, after: str | None = None) -> dict[str, Any]:
        """Compare all copies of orders now; for operators. Returns {"repaired", "next"}: see AntiEntropy.repair."""
        self.caller.require("operator")
        return self.anti_entropy.repair(arguments.optional_text("after", after))

    @rpc(expected_exceptions=EXPECTED)
    def receive_webhook(self, payload: str, signature: str) -> None:
        """Store a webhook, and soon settle the payment that it is about; for the gateway. Raises InvalidSignature."""
        self.caller.require("gateway")
        webhook = self.money.webhooks.read(payload, signature)
        if webhook.type in SUBSCRIBED_TYPES:
            self.money.reconciler.receive(webhook)
        else:
            self.money.store.count("webhooks_of_other_types")

    @property
    def store(self) -> PaymentStore:
        """The payments."""
        return self.money.store

    @handles(OrderAwaitingPayment, OrderUpdated, OrderCancelled, OrderCompleted, is_slow=True)
    def on_order(self, order: dict[str, Any]) -> None:
        """Capture the money authorized in time, void or refund that of a cancelled order.

        An order that nobody has begun to pay is ignored.
        """
        self.money.settlement.apply_order(order)

    @timer(interval=AUDIT_SECONDS)
    def audit_nightly(self) -> None:
        """Compare Stripe with our database once a night."""
        self.money.audit.run_if_due()

    @timer(interval=RECONCILE_SECONDS)
    def reconcile(self) -> None:
        """Finish what crashes, lost replies and lost webhooks left unfinished."""
        self.money.reconciler.run()

    def _count(self, kind: str, limit: Limit) -> str:
        """Return the caller's id; raise TooManyAttempts when they cause too many requests to Stripe."""
        buyer_id: str = self.caller.user_id
        self.money.store.throttle.count([Counter(f"{kind}:{buyer_id}", limit)])
        return buyer_id

    def _handled_version(self, order_id: str, ticket_id: str) -> int | None:
        payment = self.store.find(order_id)
        return payment.order["version"] if payment else None

    def _orders(self) -> Source:
        payments = self.money.store.payments.collection
        stale = stale_in(payments, "order.version", is_partial=True)
        return rpc_source(self.services.call, OrderCreated, payments.database, stale, self.on_order)

    def _find_copied(self, order_id: object, buyer_id: str) -> Payment | None:
        """Copy an order that a buyer begins to pay; return its payment if it is known. Raises OrderNotFound."""
        if not isinstance(order_id, str) or not 0 < len(order_id) <= LONGEST_ID:
            raise OrderNotFound("There is no such order.")
        return copy_order(
            self.money.store, order_id, self._fetch, utc_now(), lambda payment: payment.may_be_paid_by(buyer_id)
        )

    def _fetch(self, order_id: str) -> dict[str, Any]:
        try:
            return OrderCreated.load(self.services.call("orders", "snapshot", {"order_id": order_id}))
        except RemoteError as error:
            if error.name != "OrderNotFound":
                raise
            raise OrderNotFound("There is no such order.") from error
