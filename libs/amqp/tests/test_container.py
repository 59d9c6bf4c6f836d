import eventlet
from eventlet.hubs import get_default_hub
from eventlet.hubs.timer import Timer
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
