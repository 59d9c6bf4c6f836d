"""What the libraries count and time; `libs.internal_port` shows it to Prometheus.

PROMETHEUS_MULTIPROC_DIR must be set before this module is imported: prometheus_client reads it only then.
"""

import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
AGES_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

events_handled_seconds = Histogram(
    "events_handled_seconds",
    "How long a handler took; outcome: handled, retried, parked or requeued.",
    ("queue", "outcome"),
    buckets=SECONDS,
)
relay_batch_events = Histogram(
    "relay_batch_events", "How many events one round of the relay published.", ("collection",), buckets=BATCHES
)
outbox_age_seconds = Histogram(
    "outbox_age_seconds",
    "How long the oldest event of a round of the relay had waited.",
    ("collection",),
    buckets=AGES_SECONDS,
)
rpc_call_seconds = Histogram(
    "rpc_call_seconds",
    "How long a caller waited for an answer; outcome: ok, error or unavailable.",
    ("method", "outcome"),
    buckets=SECONDS,
)
rpc_calls_expired = Counter(
    "rpc_calls_expired", "Calls that were not begun because their deadline had passed.", ("method",)
)
rpc_handled_seconds = Histogram(
    "rpc_handled_seconds",
    "How long a service took for a call since its arrival; outcome: ok, or the name of the error that the caller got.",
    ("method", "outcome"),
    buckets=SECONDS,
)
events_saved = Counter("events_saved", "Changes that were saved with the event that announces them.", ("event",))
outbox_events = Gauge("outbox_events", "Documents whose events wait to be published; 1000 if more.", ("collection",))
outbox_waiting_seconds = Gauge(
    "outbox_waiting_seconds", "For how long the oldest of them has waited; 0 without any.", ("collection",)
)
workers = Gauge("workers", "Workers of a service: how many calls and events it can execute at once.", ("pool",))
workers_busy = Gauge("workers_busy", "Workers that are executing something.", ("pool",))
event_loop_lag_seconds = Gauge(
    "event_loop_lag_seconds",
    "How much longer than asked the program slept when this was read: its loop is busy, or its processor is.",
    multiprocess_mode="livemax",
)
alarms = Counter("alarms", "Alarms for operators, each also a line `ALARM <name>` in the log.", ("name",))
copies_repaired = Counter("copies_repaired", "Copies that a comparison found out of date.", ("copies",))
copies_stale = Gauge(
    "copies_stale",
    "Copies that the last comparison of this instance found out of date and did not repair.",
    ("copies",),
)
copies_compared_timestamp_seconds = Gauge(
    "copies_compared_timestamp_seconds",
    "Since when, in seconds since 1970, what changed at the source is not compared yet; by this instance's last run.",
    ("copies",),
)
event_lag_seconds = Histogram(
    "event_lag_seconds",
    "How long after an event was saved by its publisher a handler was done with it.",
    ("queue",),
    buckets=AGES_SECONDS,
)

SLEPT_SECONDS = 0.005


def measure_loop() -> float:
    """Return how many seconds longer than requested a short sleep of this thread, or green thread, took."""
    began = time.monotonic()
    time.sleep(SLEPT_SECONDS)
    return max(0.0, time.monotonic() - began - SLEPT_SECONDS)


def when_read(gauge: Gauge, value: Callable[[], float]) -> None:
    """Let a gauge have a value that is computed whenever the metrics are read; NaN when that fails."""

    def safely() -> float:
        try:
            return float(value())
        except Exception:  # noqa: BLE001 - one value that cannot be had must not hide all the others
            return float("nan")

    gauge.set_function(safely)
