"""RPC methods that show operators the state of a service, a base class of every service."""

from typing import Any

from libs.events.aggregates import aggregates_of
from libs.rpc.caller import Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc

EXPECTED = (Unauthenticated, Forbidden)


class Diagnostics:
    """Shows operators the state of a service, with the service's own `caller` and `store`.

    Not to be imported by its name: `libs.service` takes every class with entrypoints in a module for a service.
    """

    caller: Any
    store: Any

    @rpc(expected_exceptions=EXPECTED)
    def outboxes(self) -> Any:
        """Return [{"collection", "waiting", "oldest_seconds"}]: what waits to be published; for operators.

        `waiting` counts documents, up to 1000; `oldest_seconds` is how long the oldest has waited.
        """
        self.caller.require("operator")
        return [
            {
                "collection": aggregates.collection.name,
                "waiting": aggregates.count_waiting(),
                "oldest_seconds": aggregates.waiting_seconds(),
            }
            for aggregates in aggregates_of(self.store)
        ]
