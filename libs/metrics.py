"""What the libraries count and time; `libs.internal_port` shows it to Prometheus.

PROMETHEUS_MULTIPROC_DIR must be set before this module is imported: prometheus_client reads it only then.
"""

from prometheus_client import Counter, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
AGES_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

events_handled_seconds = Histogram(
    "events_handled_seconds",
    "How long a handler took; outcome: handled, retried, parked or returned.",
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
alarms = Counter("alarms", "Alarms for operators, each also a line `ALARM <name>` in the log.", ("name",))
copies_repaired = Counter("copies_repaired", "Copies that a comparison found out of date.", ("copies",))
