"""A service with a part's name that answers calls, and fails at every event."""

from libs.contracts.events import ExpirationComplete
from libs.events import handles
from libs.rpc.entrypoint import rpc


class FailingService:
    name = "orders"

    @rpc
    def ping(self):
        return "pong"

    @handles(ExpirationComplete, delays_seconds=(0.05, 0.1))
    def on_expiration_complete(self, deadline):
        raise RuntimeError("this one always fails")
