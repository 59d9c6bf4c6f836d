"""The payments, each with its copy of its order, in MongoDB."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from libs.alarms import ALARM_EVERY
from libs.contracts.events import CATALOGUE
from libs.events import CHANGES_INDEX, OUTBOX_INDEX, Aggregates, Schema
from libs.events.aggregates import OUTBOX_FIELDS, READ_AT_ONCE
from libs.throttle import FORGET_INDEX, MongoThrottle
from payments import disputes
from payments.domain import Payment
from payments.errors import PaymentNotFound
from payments.webhooks import KEEP_SETTLED, LONGEST_REASON, Inbox

Document = dict[str, Any]

PAYMENT_FIELDS = [field.name for field in fields(Payment)]
NEVER = datetime(2000, 1, 1, tzinfo=UTC)
UNKNOWN: Document = {"version": 0, "status": "created", "buyer_id": "", "price_cents": 0, "currency": ""}
"""Our copy of an order, apart from its id, until orders has answered."""
UNASKED: Document = {"unasked": True}
"""The filter for payments that were opened and whose orders are not copied yet: nobody else sees them."""
NOW_ASKED: Document = {"$unset": dict.fromkeys(UNASKED, "")}
ASKED: Document = {"unasked": {"$exists": False}}
NOT_BEGUN: Document = {"stripe_id": None, "creating_at": None}
"""The filter for payments for which nothing has been requested from Stripe."""
REFUND_REQUESTED: Document = {"partial_refunds.state": "requested"}
NOTHING: Document = {}


class PaymentStore:
    """The payments of orders whose buyers have begun to pay, with their outboxes.

    `unasked` marks a payment while orders is being asked for its order. `work_left` marks those that the reconciler
    visits, `visited_at` is when it last did. `published_version` is the version of the newest event, 0 without one.
    `failures` counts the visits in a row in which a payment could not be settled, since `failed_since`, and most
    recently because of `failure`. The counters of `libs.throttle` are in `attempts`.
    """

    schema = Schema(
        {
            "payments": [
                OUTBOX_INDEX,
                CHANGES_INDEX,
                IndexModel([("visited_at", ASCENDING)], partialFilterExpression={"work_left": True}, name="visits"),
                IndexModel([("created_at", ASCENDING)]),
                IndexModel(
                    [("refund_failed_at", ASCENDING)], partialFilterExpression={"refund_failed_at": {"$type": "date"}}
                ),
                IndexModel([("partial_refunds.state", ASCENDING)], partialFilterExpression=REFUND_REQUESTED),
                IndexModel(
                    [("dispute.status", ASCENDING)], partialFilterExpression={"dispute.status": {"$exists": True}}
                ),
                IndexModel(
                    [("stripe_id", ASCENDING)], unique=True, partialFilterExpression={"stripe_id": {"$type": "string"}}
                ),
            ],
            "webhooks": [
                IndexModel([("tried_at", ASCENDING)], partialFilterExpression={"waiting": True}, name="waiting"),
                IndexModel([("stripe_id", ASCENDING)]),
                IndexModel([("settled_at", ASCENDING)], expireAfterSeconds=int(KEEP_SETTLED.total_seconds())),
            ],
            "attempts": [FORGET_INDEX],
        }
    )

    def __init__(self, db: Database[Document]) -> None:
        self.payments = Aggregates(db.payments)
        self.inbox = Inbox(db.webhooks)
        self.counters = db.counters
        self.runs = db.runs
        self.throttle = MongoThrottle(db.attempts)

    def find(self, order_id: object) -> Payment | None:
        """Return the payment of an order, or None."""
        found = self.payments.find_one({"_id": order_id, **ASKED}) if isinstance(order_id, str) else None
        return _payment(found) if found else None

    def get(self, order_id: object) -> Payment:
        """Return the payment of an order; raise PaymentNotFound."""
        payment = self.find(order_id)
        if payment is None:
            raise PaymentNotFound("Nobody has begun to pay an order with this id.")
        return payment

    def find_all(self, order_ids: list[str]) -> list[Payment]:
        """Return the payments of these orders that exist."""
        return [_payment(found) for found in self.payments.find_all({"_id": {"$in": order_ids}, **ASKED})]

    def published_versions(self, after: str | None, limit: int) -> list[list[Any]]:
        """Return [[id, published_version], ...] of at most `limit` payments in order of their ids, beyond `after`."""
        where: Document = {} if after is None else {"_id": {"$gt": after}}
        wanted = {"version": 1, "published_version": 1}
        found = self.payments.collection.find(where, wanted).sort("_id", ASCENDING).limit(limit)
        return [[one["_id"], one.get("published_version", one["version"])] for one in found]

    def published_changes(self, after: Sequence[int] | None, limit: int) -> Document:
        """Return the payments that published beyond a position, as `Aggregates.changes` does, with such pages."""
        changes = self.payments.changes(after, limit, "published_version")
        return {**changes, "page": [[ident, published] for ident, _, published in changes["page"]]}

    def find_by_stripe_id(self, stripe_id: str) -> Payment | None:
        """Return the payment that has this PaymentIntent, or None."""
        found = self.payments.find_one({"stripe_id": {"$eq": stripe_id, "$type": "string"}})  # as the index has it
        return _payment(found) if found else None

    def open(self, order_id: str, now: datetime) -> Payment | None:
        """Open the payment of an order of which nothing is known yet, and return it; None if there is one."""
        opened = Payment.open({**UNKNOWN, "id": order_id}, now)
        try:
            self.payments.collection.insert_one({**_document(opened), **UNASKED})
        except DuplicateKeyError:
            return None
        return opened

    def discard(self, order_id: str) -> None:
        """Remove a payment that was opened for an order that does not exist."""
        self.payments.collection.delete_one({"_id": order_id, "order.version": UNKNOWN["version"], **UNASKED})

    def store_answer(self, order: Document) -> None:
        """Store a snapshot for which orders was asked after the payment was opened, as `apply_order` does.

        From now on the payment is found. An event may have stored an older snapshot before, with its successor lost.
        """
        if not self._replaces_older(order, {}, NOW_ASKED):
            self.payments.collection.update_one({"_id": order["id"]}, NOW_ASKED)

    def begin(self, payment: Payment) -> bool:
        """Store what orders answered about an order whose payment was just opened, and that Stripe is asked next.

        `payment` is what was opened, changed once. Returns False, and stores nothing, if it has changed meanwhile.
        """
        begun = {"$set": {"creating_at": payment.creating_at, "version": payment.version}}
        begun["$set"] |= {"updated_at": payment.updated_at, "work_left": payment.has_work_left}
        where = {"version": payment.version - 1, "order.version": UNKNOWN["version"], **UNASKED}
        return self._replaces_older(payment.order, where, {**begun, **NOW_ASKED})

    def apply_order(self, order: Document) -> Payment | None:
        """Store an order's snapshot if its payment was opened and our copy is older.

        Returns the payment as it is stored then, even if our copy was as new or newer. None when nobody has begun to
        pay, or nothing was asked of Stripe before the snapshot was stored: then there is nothing to settle.
        """
        found = self.payments.find(order["id"])
        if found is None:
            return None
        if all(found[name] is None for name in NOT_BEGUN) and self._replaces_older(order, NOT_BEGUN):
            return None
        updated = replace(_payment(found), **copy_of(order))
        if self._replaces_older(order, {"version": updated.version}, _work_left(updated)):
            return updated
        self._replaces_older(order, {}, {"$set": {"work_left": True}})  # it has changed since it was read
        return self.find(order["id"])

    def _replaces_older(self, order: Document, where: Document, extra: Document = NOTHING) -> bool:
        """Replace an older copy by the snapshot, if the payment matches `where`; return whether it was replaced.

        `extra`: a further update.
        """
        where = {"_id": order["id"], "order.version": {"$lt": order["version"]}, **where}
        update = {**extra, "$set": {**copy_of(order), **extra.get("$set", {})}}
        return self.payments.collection.update_one(where, update).matched_count > 0

    def save(self, payment: Payment, event: str = "") -> None:
        """Save a changed payment, with its event if it has one.

        Raises VersionConflict when the payment, or the copy of its order, has changed since it was read.
        """
        fields = {**asdict(payment), "work_left": payment.has_work_left}
        copy = fields.pop("order")
        guard = {"order.version": copy["version"]}
        known, body = (CATALOGUE[event], payment.snapshot()) if event else (None, None)
        if event:
            fields["published_version"] = payment.version
        self.payments.save(fields, known, body, guard=guard)

    def update_work_left(self, payment: Payment) -> None:
        """Take a payment off the reconciler's list if nothing is left to do, unless it has changed meanwhile."""
        where = {"_id": payment.id, "version": payment.version, "order.version": payment.order["version"]}
        self.payments.collection.update_one(where, _work_left(payment))

    def take_unfinished(self, now: datetime, urgent_after: timedelta, others_after: timedelta) -> Payment | None:
        """Return the payment with work left that was visited longest ago, and mark it as visited now.

        None when all were changed or visited within the given time, which is shorter for those being confirmed or
        captured.
        """
        is_urgent = {"$or": [{"confirming_at": {"$ne": None}}, {"capture_tries": {"$gt": 0}}]}
        where = {"work_left": True, "$or": [{**is_urgent, **_idle(now - urgent_after)}, _idle(now - others_after)]}
        found = self.payments.collection.find_one_and_update(
            where, {"$set": {"visited_at": now}}, OUTBOX_FIELDS, sort=[("visited_at", ASCENDING)]
        )
        return _payment(self.payments.from_stored(found) or {}) if found else None

    def fail(self, order_id: str, reason: str, now: datetime) -> int:
        """Record why a visit could not settle a payment; return how often in a row that has happened."""
        update: Any = [
            {
                "$set": {
                    "failures": {"$add": [{"$ifNull": ["$failures", 0]}, 1]},
                    "failed_since": {"$ifNull": ["$failed_since", now]},
                    "failure": {"$literal": reason[:LONGEST_REASON]},
                }
            }
        ]
        found = self.payments.collection.find_one_and_update(
            {"_id": order_id}, update, {"failures": 1}, return_document=ReturnDocument.AFTER
        )
        return int(found["failures"]) if found else 0

    def succeed(self, order_id: str) -> None:
        """Forget that a payment could not be settled."""
        where = {"_id": order_id, "failures": {"$exists": True}}
        self.payments.collection.update_one(where, {"$unset": {"failures": "", "failure": "", "failed_since": ""}})

    def list_stuck(self, limit: int) -> list[Document]:
        """Return the payments that visits failed to settle often enough for an alarm, for operators."""
        where = {"work_left": True, "failures": {"$gte": ALARM_EVERY}}
        wanted = ("stripe_id", "status", "failures", "failure", "failed_since")
        found = self.payments.collection.find(where, wanted).sort("failed_since", ASCENDING).limit(limit)
        return [{"order_id": one["_id"], **{name: one.get(name) for name in wanted}} for one in found]

    def list_confirming(self, before: datetime, limit: int) -> list[Payment]:
        """Return the payments that have been confirming since before a moment."""
        where = {"work_left": True, "confirming_at": {"$lte": before}}
        return [_payment(found) for found in self.payments.find_all(where, limit=limit)]

    def list_refunds_failed(self, limit: int) -> list[Payment]:
        """Return the payments that Stripe could not refund, oldest first."""
        is_owed = {"owed_cents": {"$not": {"$lte": 0}}, "status": {"$ne": "refunded"}}
        where, sort = {"refund_failed_at": {"$type": "date"}, **is_owed}, [("refund_failed_at", ASCENDING)]
        found = map(_payment, self.payments.find_all(where, sort=sort, limit=limit))
        return [payment for payment in found if payment.has_refund_failed]

    def list_refunding(self, before: datetime, limit: int) -> list[Payment]:
        """Return the payments with a refund that is pending at Stripe, and that have not changed since a moment."""
        where = {"work_left": True, "refunding_cents": {"$gt": 0}, "updated_at": {"$lte": before}}
        return [_payment(found) for found in self.payments.find_all(where, limit=limit)]

    def list_intents(self, since: datetime) -> Iterator[str]:
        """Yield the ids of the PaymentIntents of payments that were opened since, or have an open dispute.

        Also of those with a partial refund that is not made yet. They may be many: they are read in batches.
        """
        disputed = {"$exists": True, "$nin": [*disputes.ENDED_WELL, "lost"]}
        any_of = [{"created_at": {"$gte": since}}, {"dispute.status": disputed}, REFUND_REQUESTED]
        where = {"$or": any_of, "stripe_id": {"$ne": None}}
        for found in self.payments.collection.find(where, {"stripe_id": 1}, batch_size=READ_AT_ONCE):
            yield found["stripe_id"]

    def list_refunds_requested(self) -> list[Payment]:
        """Return the payments with a refund that Stripe has neither made nor accepted yet, partial or in full."""
        is_missing = {"status": "captured", "refund_failed_at": None, "refunding_cents": {"$not": {"$gt": 0}}}
        in_full = {"work_left": True, "refund": {"$ne": None}, **is_missing}
        return [_payment(found) for found in self.payments.find_all({"$or": [REFUND_REQUESTED, in_full]})]

    def count(self, name: str) -> None:
        """Add one to a counter that all instances share."""
        self.counters.update_one({"_id": name}, {"$inc": {"count": 1}}, upsert=True)

    def counts(self) -> dict[str, int]:
        """Return the counters."""
        return {found["_id"]: found["count"] for found in self.counters.find()}

    def claim_run(self, name: str, due: datetime, now: datetime, until: datetime) -> bool:
        """Lease a periodic task until a moment; return False if it was done since it was due, or is leased already.

        If the holder dies before `finish_run`, the next instance that claims it after that moment takes over.
        """
        where = {"_id": name, "done_for": {"$not": {"$gte": due}}, "leased_until": {"$not": {"$gt": now}}}
        try:  # `began_at` is for earlier versions of this program, which read nothing else
            update = {"$set": {"leased_until": until, "began_at": now}}
            return self.runs.update_one(where, update, upsert=True).acknowledged
        except DuplicateKeyError:
            return False

    def last_run(self, name: str) -> datetime | None:
        """Return the time for which a periodic task was last done, None if it never was."""
        run = self.runs.find_one({"_id": name}) or {}
        done_for: datetime | None = run.get("done_for")
        return done_for

    def extend_run(self, name: str, until: datetime) -> None:
        """Lease a task that is still running for longer."""
        self.runs.update_one({"_id": name}, {"$set": {"leased_until": until}})

    def finish_run(self, name: str, due: datetime | None) -> None:
        """End the lease of a task; it was done for the time at which it was `due`, or failed (None)."""
        failed: Document = {"$unset": {"leased_until": "", "began_at": ""}}
        done: Document = {"$unset": {"leased_until": ""}, "$set": {"done_for": due}}
        self.runs.update_one({"_id": name}, failed if due is None else done)


def copy_of(order: Document) -> Document:
    """Return the fields of a payment that are its order's."""
    return {"order": order, "amount_cents": order["price_cents"], "currency": order["currency"].lower()}


def _work_left(payment: Payment) -> Document:
    """Return the update that puts a payment on the reconciler's list or takes it off."""
    return {"$set": {"work_left": payment.has_work_left}}


def _idle(before: datetime) -> Document:
    return {"updated_at": {"$lte": before}, "visited_at": {"$not": {"$gt": before}}}


def _document(payment: Payment) -> Document:
    fields = asdict(payment)
    return {
        "_id": fields.pop("id"),
        **fields,
        "work_left": payment.has_work_left,
        "visited_at": NEVER,
        "published_version": 0,
    }


def _payment(found: Document) -> Payment:
    return Payment(**{name: found[name] for name in PAYMENT_FIELDS if name in found})
