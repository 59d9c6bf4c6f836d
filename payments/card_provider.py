"""Stripe, as payments uses it: one PaymentIntent an order, authorized first and captured later.

Every request that changes something carries an idempotency key of our own making, so that a repeat after a crash or a
lost reply does nothing twice. Stripe keeps a key for a day at least (https://docs.stripe.com/api/idempotent_requests).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import stripe

from payments.domain import Intent, InvalidCard, InvalidSignature, StripeUnavailable

TIMEOUT_SECONDS = 10
WEBHOOK_TOLERANCE_SECONDS = 300
UNEXPECTED_STATE = "payment_intent_unexpected_state"


class Busy(Exception):
    """Stripe is just carrying out another request about the same PaymentIntent; look again in a moment."""


class CaptureRefused(Exception):
    """Stripe would not capture the authorized amount."""


class CardProvider:
    """Talks to Stripe. `api_base`: the address of a stand-in; None for Stripe itself.

    Every method may raise StripeUnavailable, or Busy.
    """

    def __init__(self, secret_key: str, webhook_secret: str, api_base: str | None = None) -> None:
        self.webhook_secret = webhook_secret
        options: dict[str, Any] = {"base_addresses": {"api": api_base}} if api_base else {}
        self._stripe = stripe.StripeClient(
            secret_key, http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS), max_network_retries=1, **options
        ).v1

    def create(self, order: dict[str, Any]) -> Intent:
        """Return the order's PaymentIntent, created unless an earlier call did."""
        params: Any = {
            "amount": order["price_cents"],
            "currency": order["currency"],
            "capture_method": "manual",
            # only what is confirmed in place; with manual capture that leaves cards and what behaves as one
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
            "metadata": {"order_id": order["id"]},
        }
        with _speaking():
            return self._intent(self._stripe.payment_intents.create(params, _key(f"pi:{order['id']}")))

    def search(self, order_id: str) -> Intent | None:
        """Return the PaymentIntent that Stripe has for an order, or None; it may take a minute to learn of new ones."""
        with _speaking():
            found = self._stripe.payment_intents.search({"query": f"metadata['order_id']:'{order_id}'"})
            return self._intent(found.data[0]) if found.data else None

    def retrieve(self, stripe_id: str) -> Intent:
        """Return a PaymentIntent as it is now."""
        with _speaking():
            return self._intent(self._stripe.payment_intents.retrieve(stripe_id, {"expand": ["latest_charge"]}))

    def confirm(self, stripe_id: str, token: str, key: str) -> None:
        """Try to authorize the amount on a card: a PaymentMethod's id, or a card token. A decline raises nothing.

        Raises InvalidCard when Stripe knows no such card.
        """
        with _speaking():
            try:
                method = self._method(token)
                self._stripe.payment_intents.confirm(stripe_id, {"payment_method": method}, _key(key))
            except stripe.CardError:
                return  # the PaymentIntent says so too, and it is what is read next
            except stripe.IdempotencyError:
                return  # another card was tried under this key: the next read tells what came of it
            except stripe.InvalidRequestError as error:
                if error.code in ("resource_missing", "token_already_used"):
                    raise InvalidCard("This card cannot be used; enter it again.") from error
                if error.code != UNEXPECTED_STATE:
                    raise

    def capture(self, stripe_id: str, number: int) -> None:
        """Capture the authorized amount; `number` counts the tries. Raises CaptureRefused."""
        with _speaking():
            try:
                self._stripe.payment_intents.capture(stripe_id, {}, _key(f"capture:{stripe_id}:{number}"))
            except stripe.CardError as error:
                raise CaptureRefused(str(error)) from error
            except stripe.InvalidRequestError as error:
                if error.code != UNEXPECTED_STATE:
                    raise CaptureRefused(str(error)) from error

    def cancel(self, stripe_id: str) -> None:
        """Cancel a PaymentIntent, voiding what was authorized; one that can no longer be cancelled is left as it is."""
        with _speaking():
            try:
                self._stripe.payment_intents.cancel(stripe_id, {}, _key(f"cancel:{stripe_id}"))
            except stripe.InvalidRequestError as error:
                if error.code != UNEXPECTED_STATE:
                    raise

    def refund(self, stripe_id: str) -> None:
        """Refund all that was captured, once however often it is called."""
        with _speaking():
            try:
                self._stripe.refunds.create({"payment_intent": stripe_id}, _key(f"refund:{stripe_id}"))
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise

    def read_webhook(self, payload: str, signature: str) -> str | None:
        """Return the order's id that a signed webhook is about, or None when it is about none of ours.

        Raises InvalidSignature when it was not signed with our secret within the last five minutes.
        """
        try:
            event = stripe.Webhook.construct_event(payload, signature, self.webhook_secret, WEBHOOK_TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, ValueError) as error:
            raise InvalidSignature("The signature is not valid.") from error
        about = event.data.object.to_dict()
        return (about.get("metadata") or {}).get("order_id")

    def _method(self, token: str) -> str:
        if not token.startswith("tok_"):
            return token
        return self._stripe.payment_methods.create({"type": "card", "card": {"token": token}}).id

    def _intent(self, found: Any) -> Intent:
        charge = found.latest_charge if isinstance(found.latest_charge, stripe.Charge) else None
        card = charge.payment_method_details.card if charge and charge.payment_method_details else None
        error = found.last_payment_error
        counted = error is not None or found.status == "canceled"
        return Intent(
            id=found.id,
            status=found.status,
            client_secret=found.client_secret,
            amount_cents=found.amount,
            currency=found.currency,
            order_id=found.metadata.to_dict().get("order_id") if found.metadata else None,
            declines=self._declines(found.id) if counted else None,
            decline_code=(getattr(error, "decline_code", None) or getattr(error, "code", None)) if error else None,
            refunded_cents=charge.amount_refunded if charge else 0,
            card_brand=card.brand if card else None,
            card_last4=card.last4 if card else None,
        )

    def _declines(self, stripe_id: str) -> int:
        charges = self._stripe.charges.list({"payment_intent": stripe_id, "limit": 100})
        return sum(1 for charge in charges.data if charge.status == "failed")


def _key(key: str) -> Any:
    return {"idempotency_key": key}


@contextmanager
def _speaking() -> Iterator[None]:
    """Say Busy or StripeUnavailable for every failure that says nothing about what we asked."""
    try:
        yield
    except (stripe.CardError, stripe.InvalidRequestError, stripe.IdempotencyError):
        raise
    except stripe.StripeError as error:
        # 409: a request with the same key, or on the same object, is under way (https://docs.stripe.com/error-low-level)
        raise (Busy if error.http_status == 409 else StripeUnavailable)(str(error)) from error
