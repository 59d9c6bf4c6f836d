"""The expiration service: keeps the deadlines of open orders, and a job in Redis for each."""

from datetime import timedelta
from typing import Any

from nameko.timer import timer

from expiration.domain import Deadline
from expiration.schedule import Schedule
from expiration.store import DeadlineStore
from libs import parked_events
from libs.clock import utc_now
from libs.contracts.events import (
    CATALOGUE,
    OrderAwaitingPayment,
    OrderCancelled,
    OrderCompleted,
    OrderCreated,
    OrderUpdated,
)
from libs.events import Stored, VersionConflict, handles
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


class ExpirationService(parked_events.ParkedEvents):
    """Remembers by when each order must be paid."""

    name = "expiration"
    store = Stored(DeadlineStore, CATALOGUE)
    schedule = Setting("REDIS_URL", lambda url: Schedule(connect(url)), REDIS_FORM)
    caller = TokenProvider()
    services = ServiceClient()
    anti_entropy = AntiEntropyProvider("expiration.deadlines", lambda service: service._orders())

    @handles(OrderCreated)
    def on_order_created(self, order: dict[str, Any]) -> None:
        """Schedule the job first and then store the record, so that the deadline cannot move in between."""
        deadline = Deadline.of(order)
        try:
            self._schedule(deadline)
        finally:  # the record is kept even while Redis is unreachable
            is_news = self.store.add(deadline)
        if not is_news:
            self.on_order_changed(order)

    @handles(OrderUpdated, OrderAwaitingPayment, OrderCancelled, OrderCompleted)
    def on_order_changed(self, order: dict[str, Any]) -> None:
        """Schedule a moved deadline again; remove its job once the order is being paid or has ended.

        The job is written even if the record was up to date: its writer may have died in between.
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

    @timer(interval=RESTORE_SECONDS)
    def restore(self) -> None:
        """Schedule again the jobs that Redis has lost, of all deadlines that are due soon."""
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
        """Record an order's snapshot; return the deadline as it is stored now."""
        found: Deadline | None = self.store.find(order["id"])
        if found is None:
            found = Deadline.of(order)
            if not self.store.add(found):
                raise VersionConflict(f"the deadline of order {found.id} was just recorded")
        elif found.apply_order(order):
            self.store.save(found)
        return found
