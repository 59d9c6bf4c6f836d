"""Stripe's webhooks: verifying them, and the inbox in which each waits until it has been settled.

A webhook is a hint, never a fact: it only names the PaymentIntent to look at. So it is stored without its payload
(which has buyers' data), in a collection of its own and not in the payment: one about a PaymentIntent that is not
stored yet must not get lost either, and a payment's document must not grow with each delivery. What a repeated or late
one does is decided by the payment's state, not by whether it was seen before: nothing depends on how long it is kept.
"""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import stripe
from pymongo import ASCENDING, ReturnDocument
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from libs.alarms import ALARM_EVERY
from libs.context import correlation_id
from payments.errors import InvalidSignature

TOLERANCE_SECONDS = 300
KEEP_SETTLED = timedelta(days=30)
LONGEST_REASON = 500
SHOWN = ("type", "stripe_id", "order_id", "received_at", "failures", "failure")


@dataclass(frozen=True)
class Webhook:
    """A webhook: the event's id and type, the PaymentIntent it is about, and the order in that one's metadata.

    `correlation_id` is that of the request which delivered it, and of all that it leads to, even later; `traceparent`
    (`libs.tracing`) is the place of all that in the payment's trace.
    """

    id: str
    type: str
    stripe_id: str | None
    order_id: str | None
    correlation_id: str = ""
    traceparent: str = ""


class WebhookReader:
    """Reads signed webhooks. `secrets`: one or, while they are rotated, several, separated by commas."""

    def __init__(self, secrets: str, is_live: bool) -> None:
        self.secrets = [secret.strip() for secret in secrets.split(",") if secret.strip()]
        self.is_live = is_live

    def read(self, payload: str, signature: str) -> Webhook:
        """Return the webhook in a request.

        Raises InvalidSignature unless it was signed with one of the secrets, at most five minutes ago or from now, and
        is of the same mode (live or test) as our key.
        """
        if not any(_is_signed(payload, signature, secret) for secret in self.secrets):
            raise InvalidSignature("The signature is not valid.")
        if abs(time.time() - _signed_at(signature)) > TOLERANCE_SECONDS:
            raise InvalidSignature("This webhook is dated more than five minutes before or after now.")
        try:
            event = json.loads(payload)
            about = event["data"]["object"]
            if bool(event["livemode"]) != self.is_live:
                raise InvalidSignature("This event is of Stripe's other mode, live or test.")
            stripe_id = about["id"] if about["object"] == "payment_intent" else about.get("payment_intent")
            order_id = (about.get("metadata") or {}).get("order_id")
            return Webhook(event["id"], event["type"], stripe_id, order_id, correlation_id())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidSignature("This is not an event of Stripe's.") from error


class Inbox:
    """The webhooks in MongoDB; settled ones expire after a month, the others never."""

    def __init__(self, collection: Collection[dict[str, Any]]) -> None:
        self.collection = collection

    def add(self, webhook: Webhook, now: datetime) -> None:
        """Store a webhook unless it is there."""
        new = {**asdict(webhook), "received_at": now, "tried_at": now, "waiting": True}
        del new["id"]
        with suppress(DuplicateKeyError):
            self.collection.insert_one({"_id": webhook.id, **new})

    def settle(self, webhook: Webhook, outcome: str, now: datetime) -> None:
        """Record the outcome of a webhook."""
        update = {"$set": {"settled_at": now, "outcome": outcome}, "$unset": {"waiting": ""}}
        self.collection.update_one({"_id": webhook.id}, update)

    def fail(self, webhook: Webhook, reason: str) -> int:
        """Record why a webhook could not be settled; return how often it could not."""
        update = {"$inc": {"failures": 1}, "$set": {"failure": reason[:LONGEST_REASON]}}
        found = self.collection.find_one_and_update({"_id": webhook.id}, update, return_document=ReturnDocument.AFTER)
        return int(found["failures"]) if found else 0

    def list_stuck(self, limit: int) -> list[dict[str, Any]]:
        """Return waiting webhooks that were tried often enough for an alarm, oldest first, for operators."""
        where = {"waiting": True, "failures": {"$gte": ALARM_EVERY}}
        return [
            {"id": found["_id"], **{name: found.get(name) for name in SHOWN}}
            for found in self.collection.find(where).sort("received_at", ASCENDING).limit(limit)
        ]

    def list_about(self, stripe_id: str) -> list[dict[str, Any]]:
        """Return the webhooks about a PaymentIntent of the last month, oldest first, for operators."""
        shown = (*SHOWN, "settled_at", "outcome")
        return [
            {"id": found["_id"], **{name: found.get(name) for name in shown}}
            for found in self.collection.find({"stripe_id": stripe_id}).sort("received_at", ASCENDING)
        ]

    def take_waiting(self, before: datetime, now: datetime) -> Webhook | None:
        """Return the webhook that was tried longest ago, unless since `before`, and record that it is tried now."""
        where, tried = {"waiting": True, "tried_at": {"$lte": before}}, {"$set": {"tried_at": now}}
        found = self.collection.find_one_and_update(where, tried, sort=[("tried_at", ASCENDING)])
        names = ("type", "stripe_id", "order_id", "correlation_id", "traceparent")
        return Webhook(found["_id"], **{name: found[name] for name in names if name in found}) if found else None


def _is_signed(payload: str, signature: str, secret: str) -> bool:
    try:
        return bool(stripe.WebhookSignature.verify_header(payload, signature, secret, tolerance=None))
    except (stripe.SignatureVerificationError, TypeError):  # TypeError: a signature that is not ASCII
        return False


def _signed_at(signature: str) -> int:
    """Return the time, in seconds since 1970, of a valid signature: that of its first `t`, as in Stripe's library."""
    return int(next(each.split("=")[1] for each in signature.split(",") if each.startswith("t=")))
