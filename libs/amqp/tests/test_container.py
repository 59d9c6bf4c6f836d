import gc
import weakref

import eventlet
from eventlet.hubs import get_default_hub
from eventlet.hubs.timer import Timer
from nameko.extensions import DependencyProvider
from nameko.testing.services import dummy
from prometheus_client import REGISTRY

from libs.amqp import container  # which changes the hub


def test_hub_does_not_wake_up_for_timers_that_were_cancelled():
    hub = get_default_hub().Hub()
    time_out, other = Timer(1, print), Timer(5, print)
    for timer in (time_out, other):
        hub.add_timer(timer)
    hub.prepare_timers()
    due = max(at for at, _ in hub.timers)

    time_out.called = True  # as when it is cancelled

    assert hub.sleep_until() == due
    other.called = True
    assert hub.sleep_until() is None


def test_metrics_show_that_all_slow_workers_for_calls_are_busy_while_those_for_events_are_free():
    class SlowCall:
        is_slow = True

    class SlowEvent(SlowCall):
        pass

    workers = container._Workers(20, 2)
    calls, _ = (workers.pool_of(entrypoint) for entrypoint in (SlowCall(), SlowEvent()))
    for _ in range(2):
        calls.spawn(eventlet.sleep, 0)

    def shown(name, pool):
        return REGISTRY.get_sample_value(name, {"pool": pool})

    pools = ("slow SlowCall", "slow SlowEvent")
    assert [(shown("workers_busy", pool), shown("workers", pool)) for pool in pools] == [(2, 2), (0, 2)]
    calls.waitall()


def test_worker_leaves_nothing_to_the_garbage_collector():
    class ContextProvider(DependencyProvider):
        def get_dependency(self, worker_ctx):
            return worker_ctx

    class Service:
        name = "service"
        context = ContextProvider()

        @dummy
        def work(self):
            served.append(weakref.ref(self))

    served = []
    running = container.Container(Service, {"LOGGING": {}})
    (entrypoint,) = running.entrypoints
    gc.disable()
    try:
        running.spawn_worker(entrypoint, (), {})
        while running._worker_threads:
            eventlet.sleep(0.001)
        assert [each() for each in served] == [None]
    finally:
        gc.enable()
