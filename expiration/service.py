"""The expiration service: keeps the deadlines of open orders, and a job in Redis for each."""

from datetime import timedelta
from typing import Any

from expiration.domain import Deadline
from expiration.schedule import Schedule
from expiration.store import DeadlineStore
from libs import parked_events
from libs.amqp.timer import timer
from libs.clock import utc_now
from libs.contracts.events import (
    CATALOGUE,
    OrderAwaitingPayment,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    OrderUpdated,
)
from libs.errors import is_unavailable
from libs.events import Batch, StoreProvider, VersionConflict, handles, handles_batches
from libs.events.anti_entropy import AntiEntropyProvider, Source, rpc_source, stale_in
from libs.providers import Setting
from libs.redis import connect
from libs.rpc import arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, ServiceClient, TokenProvider, Unauthenticated
from libs.rpc.entrypoint import rpc
from libs.settings import REDIS_FORM

EXPECTED = (InvalidArguments, Unauthenticated, Forbidden)

RESTORE_SECONDS, RESTORE_BATCH, RESTORE_AHEAD = 5, 1000, timedelta(seconds=30)
LATE_AFTER = timedelta(seconds=15)


class ExpirationService(parked_events.ParkedEvents):
    """Keeps the deadline by which each order must be paid."""

    name = "expiration"
    store = StoreProvider(DeadlineStore, CATALOGUE)
    schedule = Setting("REDIS_URL", lambda url: Schedule(connect(url)), REDIS_FORM)
    caller = TokenProvider()
    services = ServiceClient()
    anti_entropy = AntiEntropyProvider("expiration.deadlines", lambda service: service._orders())

    @handles_batches(OrderCreated)
    def on_orders_created(self, orders: Batch) -> None:
        """Schedule the jobs before storing the deadlines, so that no deadline can move in between."""
        deadlines = [Deadline.of(order) for order in orders]
        try:
            self.schedule.put_all(
                (deadline.id, deadline.expires_at, ident, traceparent)
                for deadline, ident, traceparent in zip(
                    deadlines, orders.correlation_ids, orders.traceparents, strict=True
                )
            )
        finally:  # the deadlines are stored even while Redis is unreachable
            known = self.store.add_all(deadlines)
        for order in orders:
            if order["id"] in known:
                self.on_order_changed(order)

    @handles(OrderUpdated, OrderAwaitingPayment, OrderCancelled, OrderCompleted)
    def on_order_changed(self, order: dict[str, Any]) -> None:
        """Reschedule a deadline that moved; remove its job once the order is being paid for or has ended.

        The job is written even if the deadline was up to date: an earlier worker may have died in between.
        """
        if order["status"] != "created" and (had_ended := self.store.end(order)) is not None:
            if not had_ended:
                self.schedule.remove(order["id"])
            return
        deadline: Deadline | None = self._record(order)
        scheduled = None
        while deadline is not None and deadline.version != scheduled:
            self._schedule(deadline)
            if deadline.state == "ended":  # for good
                return
            scheduled, deadline = deadline.version, self.store.find(deadline.id)  # it may have moved meanwhile

    @rpc(expected_exceptions=EXPECTED)
    def repair(self, after: str | None = None) -> dict[str, Any]:
        """Compare all deadlines with orders; for operators. Returns {"repaired", "next"}: see AntiEntropy.repair."""
        self.caller.require("operator")
        return self.anti_entropy.repair(arguments.optional_text("after", after))

    @rpc(expected_exceptions=EXPECTED)
    def jobs(self) -> dict[str, Any]:
        """Return {"open", "late", "scheduled", "queued", "missing"}; for operators.

        How many deadlines are open, and the first 1000 that are so 15 seconds after their time ("late"), as
        [{"order_id", "expires_at"}]. In Redis, with None if it does not answer: how many jobs are scheduled for them or
        on their way to the worker, and the ids of orders whose deadline is near and that have no job ("missing").
        """
        self.caller.require("operator")
        now = utc_now()
        late = self.store.list_open(now - LATE_AFTER, RESTORE_BATCH)
        due_soon = [deadline.id for deadline in self.store.list_open(now + RESTORE_AHEAD, RESTORE_BATCH)]
        return {
            "open": self.store.count_open(),
            "late": [{"order_id": each.id, "expires_at": each.expires_at} for each in late],
            **self._in_redis(due_soon),
        }

    def _in_redis(self, due_soon: list[str]) -> dict[str, Any]:
        try:
            (scheduled, queued), missing = self.schedule.counts(), self.schedule.missing(due_soon)
        except Exception as error:
            if not is_unavailable(error):
                raise
            return dict.fromkeys(("scheduled", "queued", "missing"))
        return {"scheduled": scheduled, "queued": queued, "missing": missing}

    @rpc(expected_exceptions=EXPECTED)
    def deadline(self, order_id: str) -> dict[str, Any] | None:
        """Return {"expires_at", "state"} of an order's deadline, None without one; for operators.

        The state is open, fired or ended.
        """
        self.caller.require("operator")
        found: Deadline | None = self.store.find(arguments.text("order_id", order_id))
        return {"expires_at": found.expires_at, "state": found.state} if found else None

    def _handled_version(self, order_id: str, ticket_id: str) -> int | None:
        found: Deadline | None = self.store.find(order_id)
        return found.order_version if found else None

    @timer(interval=RESTORE_SECONDS)
    def restore(self) -> None:
        """Reschedule jobs that Redis has lost, for all deadlines that are due soon."""
        due_soon = {
            deadline.id: deadline for deadline in self.store.list_open(utc_now() + RESTORE_AHEAD, RESTORE_BATCH)
        }
        for order_id in self.schedule.missing(list(due_soon)):
            self.schedule.put(order_id, due_soon[order_id].expires_at)

    def _orders(self) -> Source:
        deadlines = self.store.deadlines.collection
        stale = stale_in(deadlines, "order_version")
        return rpc_source(self.services.call, OrderCreated, deadlines.database, stale, self.on_order_changed)

    def _schedule(self, deadline: Deadline) -> None:
        if deadline.state == "open":
            self.schedule.put(deadline.id, deadline.expires_at)
        else:
            self.schedule.remove(deadline.id)

    def _record(self, order: dict[str, Any]) -> Deadline:
        """Apply an order's snapshot; return the deadline as it is stored now."""
        found: Deadline | None = self.store.find(order["id"])
        if found is None:
            found = Deadline.of(order)
            if not self.store.add(found):
                raise VersionConflict(f"the deadline of order {found.id} was just recorded")
        elif found.apply_order(order):
            self.store.save(found)
        return found
