"""The RPC methods about parked events, queues and copies, for operators; a mixin for every service that listens.

Each service manages its own queues, which nobody else may read or write (`ops/broker_users.py`). These calls are
recorded before and after, like all calls of operators (`libs/rpc/caller.py`).
"""

from dataclasses import asdict
from functools import partial
from typing import Any

from libs import diagnostics
from libs.clock import utc_now
from libs.contracts.events import RETIRED_QUEUES
from libs.contracts.limits import MAXIMUM_PAGE
from libs.events.aggregates import aggregates_of
from libs.events.anti_entropy import Comparison
from libs.events.parking import Archive, ParkingProvider, Selection
from libs.rpc import arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc

EXPECTED = (InvalidArguments, Unauthenticated, Forbidden)
MOST_IDS = 1000


class ParkedEvents(diagnostics.Diagnostics):
    """Gives a service methods about its parked events; needs the service's own `caller` and `store`.

    Import the module, not this class: `libs.service` takes every class with entrypoints in a module for a service.
    """

    parking = ParkingProvider(RETIRED_QUEUES)

    @rpc(expected_exceptions=EXPECTED)
    def parked_events(self) -> Any:
        """Return [{"queue", "exception", "count", "oldest"}]: what is parked, by queue and exception; for operators.

        `oldest`: when the one that is parked for the longest failed first, in ISO 8601. `exception` is null for those
        that were not looked at.
        """
        self.caller.require("operator")
        return [vars(group) for group in self.parking.groups()]

    @rpc(expected_exceptions=EXPECTED)
    def show_parked(self, queue: str, ids: Any = None, exception: str | None = None, limit: int = 20) -> Any:
        """Return the first parked events of a queue, or of those with these ids or this exception; for operators.

        Each is {"queue", "event_id", "exception", "reason", "attempts", "failed_at", "replays", "correlation_id",
        "body"}; the body is text, cut after 10,000 characters.
        """
        self.caller.require("operator")
        selection = self._selection(queue, ids, exception)
        shown = self.parking.show(selection, arguments.integer("limit", limit, 1, MAXIMUM_PAGE))
        return [vars(event) for event in shown]

    @rpc(expected_exceptions=EXPECTED)
    def replay_parked(self, queue: str, ids: Any = None, exception: str | None = None) -> dict[str, int]:
        """Send parked events back to their queue, all or those with these ids or this exception; for operators.

        Returns {"replayed", "left"}; `left` are those that it did not get to.
        """
        self.caller.require("operator")
        replayed, left = self.parking.replay(self._selection(queue, ids, exception))
        return {"replayed": replayed, "left": left}

    @rpc(expected_exceptions=EXPECTED)
    def discard_parked(self, queue: str, reason: str, ids: Any = None, exception: str | None = None) -> dict[str, int]:
        """Take parked events away for good, those with these ids or this exception; for operators, with their reason.

        Each is archived first (see `discarded_events`). Returns {"discarded", "left"}; `left` are those that it
        did not get to.
        """
        operator = self.caller.operator
        arguments.reason("reason", reason)
        selection = self._selection(queue, ids, exception)
        if selection.ids is None and selection.exception is None:
            raise InvalidArguments("ids or exception must say which events.")
        discarded, left = self.parking.discard(selection, partial(self._archive().add, operator, reason, utc_now()))
        return {"discarded": discarded, "left": left}

    @rpc(expected_exceptions=EXPECTED)
    def discarded_events(self, limit: int = 20) -> Any:
        """Return the events that were discarded last, as `show_parked` does, newest first; for operators.

        Each also has `discarded_at`, `discarded_by` and `discarded_because`.
        """
        self.caller.require("operator")
        return self._archive().newest(arguments.integer("limit", limit, 1, MAXIMUM_PAGE))

    @rpc(expected_exceptions=EXPECTED)
    def stuck_events(self) -> Any:
        """Return events that failed 20 times or more and are being retried, as `show_parked` does; a hundred at most.

        For operators; nothing has to be done for these to go on.
        """
        self.caller.require("operator")
        return [vars(event) for event in self.parking.stuck()]

    @rpc(expected_exceptions=EXPECTED)
    def queues(self) -> Any:
        """Return [{"queue", "waiting", "listeners", "parked"}] of all queues of this service's; for operators.

        `waiting` are the events not yet delivered to an instance. A queue that does not exist has null for each.
        """
        self.caller.require("operator")
        return [vars(size) for size in self.parking.sizes()]

    @rpc(expected_exceptions=EXPECTED)
    def copies(self) -> Any:
        """Return [{"copies", "stale", "behind_seconds"}] of each kind of copies; for operators.

        `stale` were found out of date and are not repaired yet; what changed at the source before the last
        `behind_seconds` has been compared, None if nothing has.
        """
        self.caller.require("operator")
        compared = (each for each in vars(self).values() if isinstance(each, Comparison))
        return [asdict(each.status()) for each in compared]

    @rpc(expected_exceptions=EXPECTED)
    def messages(self, order_id: str, ticket_id: str) -> dict[str, Any]:
        """Return {"outbox", "parked", "retried", "version"} about an order and its ticket; for operators.

        `outbox`: its events that wait to be published, as {"event", "version", "at"}. The events about it that are
        parked here, and that have been retried for long, are as in `show_parked`. `version`: that of the order which
        was handled here last, None if none was.
        """
        self.caller.require("operator")
        order_id, ticket_id = arguments.text("order_id", order_id), arguments.text("ticket_id", ticket_id)
        parked, retried = self.parking.about(order_id)
        waiting = [event for aggregates in aggregates_of(self.store) for event in aggregates.outbox_of(order_id)]
        return {
            "outbox": [{"event": each["name"], "version": each["version"], "at": each["at"]} for each in waiting],
            "parked": [vars(event) for event in parked],
            "retried": [vars(event) for event in retried],
            "version": self._handled_version(order_id, ticket_id),
        }

    def _handled_version(self, order_id: str, ticket_id: str) -> int | None:
        """Return the version of an order that was handled here last; a service that keeps no copies of orders, None."""
        return None

    def _archive(self) -> Archive:
        return Archive(aggregates_of(self.store)[0].collection.database)

    def _selection(self, queue: object, ids: object, exception: object) -> Selection:
        return Selection(
            arguments.choice("queue", queue, self.parking.queues),
            None if ids is None else frozenset(arguments.texts("ids", ids, MOST_IDS)),
            arguments.optional_text("exception", exception),
        )
