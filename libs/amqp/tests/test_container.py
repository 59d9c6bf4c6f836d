from eventlet.hubs import get_default_hub
from eventlet.hubs.timer import Timer

from libs.amqp import container  # noqa: F401 - which changes the hub


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
