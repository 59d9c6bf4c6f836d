"""The RPC methods about parked events, a part of every service that listens to any: for operators.

Each service answers for its own queues, which nobody else may read or write (`ops/broker_users.py`). Its calls are
recorded before and after, as all calls of operators are (`libs/rpc/caller.py`).
"""

from typing import Any

from libs.contracts.limits import MAXIMUM_PAGE
from libs.events.parking import ParkingProvider, Selection
from libs.rpc import arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc

EXPECTED = (InvalidArguments, Unauthenticated, Forbidden)
MOST_IDS = 1000


class ParkedEvents:
    """What a service does about its parked events, with the service's own `caller`.

    Not to be imported by its name: `nameko run` takes every class with entrypoints in a module for a service.
    """

    caller: Any
    parking = ParkingProvider()

    @rpc(expected_exceptions=EXPECTED)
    def parked_events(self) -> Any:
        """Return [{"queue", "exception", "count", "oldest"}]: what is parked, by queue and exception; for operators.

        `oldest`: when the one that is parked for the longest failed first, in ISO 8601. `exception` is null for those
        that there was no time to look at.
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

        Returns {"replayed", "left"}; `left` are those that there was no time to look at.
        """
        self.caller.require("operator")
        replayed, left = self.parking.replay(self._selection(queue, ids, exception))
        return {"replayed": replayed, "left": left}

    @rpc(expected_exceptions=EXPECTED)
    def discard_parked(self, queue: str, reason: str, ids: Any = None, exception: str | None = None) -> dict[str, int]:
        """Delete parked events for good, those with these ids or this exception; for operators, who say why.

        Returns {"discarded", "left"}; `left` are those that there was no time to look at.
        """
        self.caller.require("operator")
        arguments.reason("reason", reason)
        selection = self._selection(queue, ids, exception)
        if selection.ids is None and selection.exception is None:
            raise InvalidArguments("ids or exception must say which events.")
        discarded, left = self.parking.discard(selection)
        return {"discarded": discarded, "left": left}

    @rpc(expected_exceptions=EXPECTED)
    def stuck_events(self) -> Any:
        """Return the events that have failed 20 times or more and are being retried, as `show_parked` does.

        For operators; nothing has to be done for these to go on.
        """
        self.caller.require("operator")
        return [vars(event) for event in self.parking.stuck()]

    def _selection(self, queue: object, ids: object, exception: object) -> Selection:
        return Selection(
            arguments.choice("queue", queue, self.parking.queues),
            None if ids is None else frozenset(arguments.texts("ids", ids, MOST_IDS)),
            arguments.optional_text("exception", exception),
        )
