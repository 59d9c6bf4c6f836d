"""Stripe, as payments uses it: one PaymentIntent per order, authorized first and captured later.

Every request that changes something carries an idempotency key of our own making, so that a repeat after a crash or a
lost reply does nothing twice. Stripe keeps a key for a day at least (https://docs.stripe.com/api/idempotent_requests).
"""

import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any, cast

import requests
import stripe

from libs.errors import Kind, kind_of
from payments.errors import InvalidCard, StripeUnavailable
from payments.intent import PaymentIntent, request_of
from payments.metrics import TimedRequests

log = logging.getLogger(__name__)
logging.getLogger("stripe").setLevel(logging.WARNING)  # its library logs every request at INFO

API_VERSION = "2026-10-28.endive"
"""The version of Stripe's API in use, whatever the account's default or the library's next release is."""
TIMEOUT_SECONDS = 10
EXPANDED = ["latest_charge.refunds"]
PARTIAL_REFUND = "refund"
"""The key in a refund's metadata under which the id of a partial refund is stored."""
FAILED = ("failed", "canceled")
"""The statuses of a refund that gives nothing back."""
UNEXPECTED_STATE = "payment_intent_unexpected_state"
INVALID_CARD_CODES = ("resource_missing", "token_already_used", "parameter_invalid_empty", "parameter_missing")


class StripeBusy(StripeUnavailable):
    """Stripe is carrying out another request about the same PaymentIntent; try again in a moment."""

    is_about_one = True


class CaptureRefused(Exception):
    """Stripe would not capture the authorized amount."""


class CreationRefused(Exception):
    """Stripe refused to create a PaymentIntent: this request has created none, nor will it. `code` is Stripe's."""

    def __init__(self, message: str, code: str | None) -> None:
        super().__init__(message)
        self.code = code


class IntentMissing(Exception):
    """Stripe has no such PaymentIntent: the keys are another account's, or of the other mode."""


class UnexpectedStripeError(StripeUnavailable):
    """Stripe refused a request it never should: something is wrong with this one PaymentIntent, not with Stripe."""

    is_about_one = True


class _Sessions:
    """A session for each concurrent request, each kept with its connection for a later one.

    Each call has a thread of its own, so that a session for each thread, as Stripe's library has them, would connect
    again for each call. They follow no redirect (OWASP ASVS 5.0, 15.3.2), and do not read the environment for each
    request. `proxies`: their addresses, by scheme.
    """

    def __init__(self, proxies: dict[str, str]) -> None:
        self._proxies = proxies
        self._free: deque[requests.Session] = deque()

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Return the response to a request, read to its end; raise TooManyRedirects for a redirect."""
        try:
            session = self._free.pop()
        except IndexError:
            session = self._new()
        try:
            return session.request(*arguments, **options)
        finally:
            self._free.append(session)

    def close(self) -> None:
        """Close the connections that no request uses."""
        while self._free:
            self._free.pop().close()

    def _new(self) -> requests.Session:
        session = requests.Session()
        session.max_redirects, session.trust_env, session.proxies = 0, False, self._proxies
        return session


class CardProvider:
    """Talks to Stripe, by way of the proxy that the environment names. `api_base`: the address of a stand-in, without.

    Every method may raise StripeUnavailable.
    """

    def __init__(self, secret_key: str, api_base: str | None = None) -> None:
        options: dict[str, Any] = {"base_addresses": {"api": api_base}} if api_base else {}
        sessions = _Sessions({} if api_base else requests.utils.get_environ_proxies(stripe.DEFAULT_API_BASE))
        self._stripe = stripe.StripeClient(
            secret_key,
            stripe_version=API_VERSION,
            http_client=TimedRequests(timeout=TIMEOUT_SECONDS, session=cast("requests.Session", sessions)),
            max_network_retries=0,  # payments.retries repeats
            **options,
        ).v1

    def create(self, order: dict[str, Any], number: int = 0) -> PaymentIntent:
        """Return the order's PaymentIntent, created unless an earlier call did. Raises CreationRefused.

        It makes no difference whether Stripe replays a refusal. An IdempotencyError is not a refusal: an earlier
        request with this key may have created a PaymentIntent.
        """
        params: Any = {
            "amount": order["price_cents"],
            "currency": order["currency"],
            "capture_method": "manual",
            "allowed_payment_method_types": ["card"],  # confirmed in place, and captured later
            "metadata": {"order_id": order["id"]},
        }
        key = _idempotent(_numbered_key(f"pi:{order['id']}", number))
        with _translate_stripe_errors():
            try:
                return self._reply(self._stripe.payment_intents.create(params, key))
            except stripe.InvalidRequestError as error:
                if kind_of(error) is not Kind.BUG or error.http_status is None:
                    raise
                raise CreationRefused(str(error), error.code) from error

    def find(self, order_id: str, listed_since: datetime) -> PaymentIntent | None:
        """Return the PaymentIntent that Stripe has for an order, or None.

        It is searched for, and as the search index may lag by a minute, also looked for in the list.
        """
        with _translate_stripe_errors(has_key=False):
            found = self._stripe.payment_intents.search({"query": f"metadata['order_id']:'{order_id}'"})
            if found.data:
                return self._intent(found.data[0])
        return next((intent for intent in self.list_since(listed_since) if intent.order_id == order_id), None)

    def retrieve(self, stripe_id: str) -> PaymentIntent:
        """Return a PaymentIntent as it is now; raise IntentMissing."""
        with _translate_stripe_errors(has_key=False):
            try:
                found = self._stripe.payment_intents.retrieve(stripe_id, {"expand": EXPANDED})
            except stripe.InvalidRequestError as error:
                if error.code == "resource_missing":
                    raise IntentMissing(str(error)) from error
                raise
            return self._intent(found)

    def list_since(self, moment: datetime) -> Iterator[PaymentIntent]:
        """Yield every PaymentIntent of the account that was created since."""
        params: Any = {
            "created": {"gte": int(moment.timestamp())},
            "limit": 100,
            "expand": ["data.latest_charge.refunds"],
        }
        with _translate_stripe_errors(has_key=False):
            for found in self._stripe.payment_intents.list(params).auto_paging_iter():
                yield self._intent(found, counts_declines=False)

    def list_refunded_or_disputed_since(self, moment: datetime) -> set[str]:
        """Return the ids of the PaymentIntents that were refunded or disputed since, or whose refund failed since.

        Stripe keeps the time at which a refund failed for 30 days.
        """
        params: Any = {"created": {"gte": int(moment.timestamp())}, "limit": 100}
        failures: Any = {**params, "type": "refund.failed"}
        with _translate_stripe_errors(has_key=False):
            refunds = self._stripe.refunds.list(params).auto_paging_iter()
            disputes = self._stripe.disputes.list(params).auto_paging_iter()
            failed = (event.data.object for event in self._stripe.events.list(failures).auto_paging_iter())
            found = (getattr(one, "payment_intent", None) for one in chain(refunds, disputes, failed))
            return {str(ident) for ident in found if ident}

    def confirm(self, stripe_id: str, token: str, attempt_key: str) -> PaymentIntent | None:
        """Try to authorize the amount on a card: a PaymentMethod's id, or a card token. A decline raises nothing.

        Returns the PaymentIntent that this very request has authorized; None otherwise, and then it has to be read.
        A repeat with the same `attempt_key` charges nothing again. Raises InvalidCard when Stripe has no such card.
        """
        method = None
        try:
            with _translate_stripe_errors(), _declining():
                method = self._payment_method(token, attempt_key)
                # Stripe's script on our page shows the bank's challenge, so no return address is needed
                params: Any = {"payment_method": method, "use_stripe_sdk": True, "expand": EXPANDED}
                key = _idempotent(f"confirm:{attempt_key}")
                return self._own(self._stripe.payment_intents.confirm(stripe_id, params, key), "requires_capture")
        except StripeUnavailable as error:
            error.has_charged_nothing |= method is None
            raise
        return None

    def capture(self, stripe_id: str, number: int = 1) -> PaymentIntent | None:
        """Capture the authorized amount; `number` counts the attempts. Raises CaptureRefused.

        Returns the PaymentIntent that this very request has captured; None otherwise, and then it has to be read.
        """
        with _translate_stripe_errors():
            try:
                key = _idempotent(f"capture:{stripe_id}:{number}")
                return self._own(
                    self._stripe.payment_intents.capture(stripe_id, {"expand": EXPANDED}, key), "succeeded"
                )
            except stripe.CardError as error:
                raise CaptureRefused(str(error)) from error
            except stripe.InvalidRequestError as error:
                if error.code != UNEXPECTED_STATE:
                    raise CaptureRefused(str(error)) from error
                return None

    def cancel(self, stripe_id: str, number: int = 0) -> None:
        """Cancel a PaymentIntent, voiding what was authorized; one that can no longer be cancelled is left as it is."""
        with _translate_stripe_errors():
            try:
                self._stripe.payment_intents.cancel(
                    stripe_id, {}, _idempotent(_numbered_key(f"cancel:{stripe_id}", number))
                )
            except stripe.InvalidRequestError as error:
                if error.code != UNEXPECTED_STATE:
                    raise

    def refund(self, stripe_id: str, number: int = 0) -> None:
        """Refund all that was captured, once however often it is called.

        What is refunded in full already, or is disputed, is left as it is.
        """
        with _translate_stripe_errors():
            try:
                key = _idempotent(_numbered_key(f"refund:{stripe_id}", number))
                self._stripe.refunds.create({"payment_intent": stripe_id}, key)
            except stripe.InvalidRequestError as error:
                if error.code not in ("charge_already_refunded", "charge_disputed"):
                    raise

    def refund_partially(self, stripe_id: str, refund_id: str, amount_cents: int, number: int = 0) -> None:
        """Refund some of what was captured, once for each `refund_id`, which the refund carries.

        `number` makes another key after Stripe answered with a failure under the one before, which it would replay.
        """
        with _translate_stripe_errors():
            params: Any = {"payment_intent": stripe_id, "amount": amount_cents, "metadata": {PARTIAL_REFUND: refund_id}}
            try:
                self._stripe.refunds.create(
                    params, _idempotent(_numbered_key(f"refund:{stripe_id}:{refund_id}", number))
                )
            except stripe.InvalidRequestError as error:  # else the next reading shows why not
                if error.code not in ("charge_already_refunded", "charge_disputed") and error.param != "amount":
                    raise

    def _payment_method(self, token: str, attempt_key: str) -> str:
        if not token.startswith("tok_"):
            return token
        # a token is good for one PaymentMethod: a double click has to get the same one
        key = f"card:{attempt_key}:{hashlib.sha256(token.encode()).hexdigest()[:16]}"
        params: Any = {"type": "card", "card": {"token": token}}
        return self._stripe.payment_methods.create(params, _idempotent(key)).id

    def _reply(self, found: Any) -> PaymentIntent:
        """Return the PaymentIntent of a reply, with whether it is the first reply under its idempotency key."""
        is_replayed = found.last_response.headers.get("Idempotent-Replayed") == "true"
        return replace(self._intent(found, counts_declines=False), is_first_reply=not is_replayed)

    def _own(self, found: Any, status: str) -> PaymentIntent | None:
        """Return the PaymentIntent of a first reply that shows this status, else None (docs/protocol.md, rule 2)."""
        reply = self._reply(found)
        return reply if reply.is_first_reply and reply.status == status else None

    def _intent(self, found: Any, counts_declines: bool = True) -> PaymentIntent:
        charge = found.latest_charge if isinstance(found.latest_charge, stripe.Charge) else None
        card = getattr(charge.payment_method_details, "card", None) if charge else None  # a wallet may be none
        error = found.last_payment_error
        counted = counts_declines and (error is not None or found.status == "canceled")
        return PaymentIntent(
            id=found.id,
            status=found.status,
            client_secret=found.client_secret,
            amount_cents=found.amount,
            currency=found.currency,
            order_id=found.metadata.to_dict().get("order_id") if found.metadata else None,
            declines=self._count_declines(found.id) if counted else None,
            decline_code=(getattr(error, "decline_code", None) or getattr(error, "code", None)) if error else None,
            last_payment_method=found.payment_method
            or (error.payment_method.id if getattr(error, "payment_method", None) else ""),
            **(_refund_totals(charge) if charge and charge.captured else {}),  # a void may look like a refund
            card_brand=card.brand if card else None,
            card_last4=card.last4 if card else None,
            captured_cents=charge.amount_captured if charge and charge.captured else None,
            dispute=self._dispute(found.id) if charge and charge.disputed else None,
        )

    def _dispute(self, stripe_id: str) -> dict[str, Any] | None:
        disputes = self._stripe.disputes.list({"payment_intent": stripe_id, "limit": 100}).data
        for newest in disputes:
            return {
                "id": newest.id,
                "status": newest.status,
                "reason": newest.reason,
                "amount_cents": newest.amount,
                "is_refundable": newest.is_charge_refundable,
                "lost_cents": sum(dispute.amount for dispute in disputes if dispute.status == "lost"),
            }
        return None

    def _count_declines(self, stripe_id: str) -> int:
        charges = self._stripe.charges.list({"payment_intent": stripe_id, "limit": 100})
        return sum(1 for charge in charges.data if charge.status == "failed")


def _refund_totals(charge: stripe.Charge) -> dict[str, Any]:
    """Return how much of a captured charge was refunded, how much is pending, and how many refunds failed."""
    refunds = list(charge.refunds.auto_paging_iter()) if charge.refunds else []
    ended = [refund for refund in refunds if refund.status in FAILED]
    pending = sum(refund.amount for refund in refunds if refund.status in ("pending", "requires_action"))
    back = sum(refund.amount for refund in refunds) - sum(refund.amount for refund in ended)
    if charge.amount_captured < charge.amount:  # what was authorized but not captured may look refunded too
        back = charge.amount_captured if charge.refunded else 0
    ids, live = _refund_ids(refunds), _refund_ids(refund for refund in refunds if refund.status not in FAILED)
    return {
        "refunded_cents": max(0, back - pending),
        "refunding_cents": pending,
        "failed_refunds": len(ended),
        "refund_ids": frozenset(ids),
        "failed_refund_ids": frozenset(ids) - frozenset(live),
        "has_duplicate_refund": len(live) > len(set(map(request_of, live))),
    }


def _refund_ids(refunds: Iterable[stripe.Refund]) -> list[str]:
    """Return the ids that we gave to those of these refunds that are partial refunds by operators."""
    about = [metadata.to_dict() for refund in refunds if (metadata := getattr(refund, "metadata", None))]
    return [metadata[PARTIAL_REFUND] for metadata in about if PARTIAL_REFUND in metadata]


def _idempotent(key: str) -> Any:
    return {"idempotency_key": key}


def _numbered_key(key: str, number: int) -> str:
    return f"{key}:{number}" if number else key


@contextmanager
def _declining() -> Iterator[None]:
    """Leave the block when a card was declined, or another one was tried under its key: the next reading shows that.

    Raises InvalidCard when Stripe has no such card.
    """
    try:
        yield
    except (stripe.CardError, stripe.IdempotencyError):
        return
    except stripe.InvalidRequestError as error:
        # a PaymentMethod that was used up has no code
        if error.code in INVALID_CARD_CODES or error.param == "payment_method":
            raise InvalidCard("This card cannot be used; enter it again.") from error
        if error.code != UNEXPECTED_STATE:
            raise


@contextmanager
def _translate_stripe_errors(has_key: bool = True) -> Iterator[None]:
    """Raise StripeBusy or StripeUnavailable for each error of Stripe's that the block let through.

    `has_key`: whether the block's requests have idempotency keys, for which Stripe replays its answers.
    """
    try:
        yield
    except stripe.StripeError as error:
        kind = kind_of(error)
        if kind is Kind.CONFLICT:  # a request with the same key, or on the same object, is under way
            raise StripeBusy(str(error)) from error
        raise _unavailable(error, kind is Kind.BUG, has_key) from error


def _unavailable(error: stripe.StripeError, is_bug: bool, has_key: bool) -> StripeUnavailable:
    status = error.http_status or 0  # 0: there was no answer
    if is_bug:
        log.error("Stripe rejected a request that should always be valid", exc_info=error)
        if not isinstance(error, (stripe.AuthenticationError, stripe.PermissionError)):  # those hit all payments
            unexpected = UnexpectedStripeError(str(error))
            unexpected.is_replayed, unexpected.has_charged_nothing = has_key, 400 <= status < 500
            return unexpected
    unavailable = StripeUnavailable(str(error))
    unavailable.has_charged_nothing = 400 <= status < 500
    unavailable.is_replayed = has_key and status >= 500
    unavailable.may_be_repeated = status == 0 or status > 500 or (status == 500 and not has_key)
    return unavailable
