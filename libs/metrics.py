"""What the libraries count and time, for whoever registers to hear it; no monitoring system is assumed.

| name | value | labels |
| --- | --- | --- |
| event_handled_seconds | how long a handler took | queue, outcome: handled, retried, parked or returned |
| relay_batch_events | how many events one round published | collection |
| outbox_age_seconds | how long the oldest event of a round had waited | collection |
| rpc_call_seconds | how long a caller waited for an answer | method, outcome: ok, error or unavailable |
| call_expired_seconds | how long ago the caller of a call gave up that was therefore not begun | method |
| copies_repaired | how many copies one comparison found out of date | copies |
"""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

Observer = Callable[[str, float, dict[str, str]], None]

_observers: list[Observer] = []


def register(observer: Observer) -> Callable[[], None]:
    """Call `observer(name, value, labels)` for every observation from now on; return what ends that."""
    _observers.append(observer)
    return lambda: _observers.remove(observer)


def observe(name: str, value: float, **labels: str) -> None:
    """Tell the observers; one that fails is logged, and disturbs nothing."""
    for observer in tuple(_observers):
        try:
            observer(name, value, labels)
        except Exception:  # noqa: BLE001 - no event or call may be lost over a figure
            log.exception("an observer of %s failed", name)
