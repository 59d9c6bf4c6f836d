"""A small service for the tests of RPC."""

from datetime import UTC, datetime

import eventlet
from nameko.rpc import RpcProxy
from nameko.rpc import rpc as stock_rpc

from libs.context import correlation_id, remaining_seconds
from libs.contracts.errors import DomainError
from libs.events import handles
from libs.events.tests.bakery.catalogue import LoafBaked
from libs.metrics import rpc_calls_expired
from libs.rpc.caller import TokenProvider
from libs.rpc.entrypoint import rpc

BEGUN: list[float] = []
DONE: list[float] = []


class Taken(DomainError):
    pass


class Probe:
    name = "probe"
    caller = TokenProvider()
    itself = RpcProxy("probe")

    @rpc
    def echo(self, value):
        return value

    @rpc
    def echo_by_stock_proxy(self, value):
        return self.itself.echo(value)

    @rpc(expected_exceptions=Taken)
    def refuse(self):
        raise Taken("somebody was quicker", price_cents=1999)

    @rpc
    def fail(self):
        raise KeyError("inside")

    @rpc
    def noon(self):
        return {"at": datetime(2026, 11, 22, 12, tzinfo=UTC)}

    @rpc
    def unspeakable(self):
        return {1, 2}

    @rpc(is_slow=True)
    def wait(self, seconds):
        eventlet.sleep(seconds)

    @rpc
    def sleep(self, seconds):
        BEGUN.append(seconds)
        eventlet.sleep(seconds)
        DONE.append(seconds)

    @rpc
    def begun(self):
        return len(BEGUN)

    @rpc
    def done(self):
        return DONE

    @rpc
    def expired(self):
        samples = [sample for metric in rpc_calls_expired.collect() for sample in metric.samples]
        return {each.labels["method"]: each.value for each in samples if each.name == "rpc_calls_expired_total"}

    @rpc
    def whoami(self):
        return self.caller.user_id

    @rpc
    def correlation(self):
        return correlation_id()

    @rpc
    def left(self):
        return remaining_seconds(60)


class Listening(Probe):
    """Handles an event too, and uses nothing of stock nameko's."""

    name = "labels"
    itself = None

    @handles(LoafBaked)
    def on_loaf_baked(self, loaf):
        eventlet.sleep(3)


class Stock:
    """A service as plain nameko makes them."""

    name = "stock"

    @stock_rpc
    def echo(self, value):
        return value

    @stock_rpc
    def fail(self):
        raise KeyError("inside")

    @stock_rpc
    def sleep(self, seconds):
        BEGUN.append(seconds)
        eventlet.sleep(seconds)

    @stock_rpc
    def begun(self):
        return len(BEGUN)
