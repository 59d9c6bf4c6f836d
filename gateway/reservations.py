"""Reserving a ticket, also in a rush, when nearly all requests are refused: those are decided in batches.

For a ticket that was taken or refused a little while ago, orders is first asked which buyers would be refused: in one
call for all requests that have arrived since the previous call began. So an answer is never older than its request, and
the buyer who holds the ticket gets the usual answer. Requests that might succeed then call orders one by one.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from flask import Flask, current_app
from flask_login import current_user

from gateway import traces
from gateway.services import CALL_SECONDS, Services, call_as_user
from libs.bounded import BoundedDict
from libs.contracts.limits import MAXIMUM_REFUSALS
from libs.errors import log_failure
from libs.rpc import RemoteError
from libs.shared_reads import BatchedReads

TAKEN = ("TicketReserved", "TicketSold", "AlreadyHeld")
"""The errors that mean that a ticket is taken."""
TAKEN_SECONDS = 10.0
"""How long after a ticket was taken, or refused, it is expected to be refused again."""
MOST_TICKETS = 10_000
REFUSALS_SECONDS = CALL_SECONDS / 2
"""How long orders may take to answer who would be refused; a request that comes meanwhile waits at most twice that."""

GATHER_SECONDS = 0.005
"""How long a call is held back for further requests, and again if some came: it costs as much as a whole request."""

log = logging.getLogger(__name__)


class ReservationRequest(NamedTuple):
    """A ticket, the buyer who requests it, and the request's Idempotency-Key."""

    ticket_id: str
    buyer_id: str
    key: str | None


Refusal = tuple[str, str, dict[str, Any]]
"""An error's name, its message and its details."""


class Refusals:
    """The tickets that one process expects to be refused; `ask(requests)` returns a Refusal or None for each."""

    def __init__(
        self,
        ask: Callable[[list[ReservationRequest]], list[Refusal | None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._asked = BatchedReads(ask, MAXIMUM_REFUSALS, GATHER_SECONDS, REFUSALS_SECONDS)
        self._clock = clock
        self._taken_at: BoundedDict[str, float] = BoundedDict(MOST_TICKETS)

    def check(self, wanted: ReservationRequest) -> None:
        """Raise RemoteError if a ticket that was taken lately would be refused.

        Raises ServiceUnavailable if orders does not answer: separate calls would not help then.
        """
        if self._clock() - self._taken_at.get(wanted.ticket_id, float("-inf")) > TAKEN_SECONDS:
            return
        if refusal := self._asked(wanted):
            self.note_taken(wanted.ticket_id)
            raise RemoteError(*refusal)
        self._taken_at.pop(wanted.ticket_id, None)

    def note_taken(self, ticket_id: str) -> None:
        """Expect that the next requests for a ticket are refused."""
        self._taken_at[ticket_id] = self._clock()


def register(app: Flask, services: Callable[[], Services]) -> None:
    """Give `app` what `reserve` needs; `services()` are those that it calls."""

    def ask(requests: list[ReservationRequest]) -> list[Refusal | None]:
        try:
            asked = [list(wanted) for wanted in requests]
            found: list[Refusal | None] = services().call_as_gateway("orders.refusals", REFUSALS_SECONDS, asked=asked)
            return found
        except RemoteError as error:
            log_failure(log, error, "orders does not answer who would be refused: each request calls it by itself")
            return [None] * len(requests)  # the previous version of orders has no such method

    app.extensions["refusals"] = Refusals(ask)


def reserve(ticket_id: str, version: int | None, key: str | None) -> dict[str, Any]:
    """Reserve a ticket for the current user; return the order. Raises as a call of `orders.create` does."""
    refusals, until = cast(Refusals, current_app.extensions["refusals"]), time.monotonic() + CALL_SECONDS
    refusals.check(ReservationRequest(ticket_id, current_user.id, key))
    about, left = {"ticket_id": ticket_id, "version": version, "idempotency_key": key}, until - time.monotonic()
    try:
        order: dict[str, Any] = call_as_user("orders.create", timeout=left, **about)
    except RemoteError as error:
        if error.name in TAKEN:
            refusals.note_taken(ticket_id)
        raise
    refusals.note_taken(ticket_id)
    traces.keep(order["id"])
    return order
