"""A service whose handler fails at its first try, and which returns by RPC what it has handled."""

from libs.contracts.events import ExpirationComplete
from libs.events import handles
from libs.rpc.entrypoint import rpc

TRIED: set[str] = set()
HANDLED: list[str] = []


class RetryProbe:
    name = "orders"

    @handles(ExpirationComplete, delays_seconds=(0.05,))
    def on_expiration_complete(self, deadline):
        if deadline["id"] not in TRIED:
            TRIED.add(deadline["id"])
            raise RuntimeError("the first try fails")
        HANDLED.append(deadline["id"])

    @rpc
    def handled(self):
        return HANDLED
