"""What the libraries count and time, and the internal port from which Prometheus reads it.

PROMETHEUS_MULTIPROC_DIR must be set before this module is imported: prometheus_client reads it only then.
"""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, start_http_server

from libs.settings import MissingSetting, metrics_address

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


def serve(registry: CollectorRegistry = REGISTRY) -> None:
    """Serve what `registry` holds on METRICS_HOST and METRICS_PORT until the process ends; without a port, nothing.

    Stops the start when nothing can listen there, as when the port is taken.
    """
    host, port = metrics_address()
    try:
        if port:
            start_http_server(port, host, registry)
    except OSError as error:
        problem = f"{port}, where METRICS_HOST, {host}, cannot listen ({error.strerror})"
        raise MissingSetting("METRICS_PORT", problem) from error
