"""The services that are measured: the same few lines on our library and on stock nameko."""

import time
from typing import Any

from nameko.events import event_handler
from nameko.rpc import rpc as stock_rpc

from libs.contracts.events import ExpirationComplete
from libs.events import handles
from libs.rpc.entrypoint import rpc


class Ours:
    """Echoes, and handles ExpirationComplete, on our library."""

    name = "orders"
    lags_ms: list[float] = []

    @rpc
    def echo(self, value: Any) -> Any:
        """Return `value`."""
        return value

    @rpc
    def handled(self) -> int:
        """Return how many events were handled."""
        return len(self.lags_ms)

    @rpc
    def lags(self) -> list[float]:
        """Return how many milliseconds old each handled event was."""
        return self.lags_ms

    @handles(ExpirationComplete)
    def on_expiration_complete(self, deadline: dict[str, Any]) -> None:
        """Note how old the event is."""
        self.lags_ms.append((time.time() - float(deadline["order_id"])) * 1000)


class Stock:
    """The same on stock nameko."""

    name = "orders"
    lags_ms: list[float] = []

    @stock_rpc
    def echo(self, value: Any) -> Any:
        """Return `value`."""
        return value

    @stock_rpc
    def handled(self) -> int:
        """Return how many events were handled."""
        return len(self.lags_ms)

    @stock_rpc
    def lags(self) -> list[float]:
        """Return how many milliseconds old each handled event was."""
        return self.lags_ms

    @event_handler("expiration", "ExpirationComplete")
    def on_expiration_complete(self, deadline: dict[str, Any]) -> None:
        """Note how old the event is."""
        self.lags_ms.append((time.time() - float(deadline["order_id"])) * 1000)
