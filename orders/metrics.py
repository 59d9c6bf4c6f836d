"""The metrics of orders, in addition to those of the libraries."""

from prometheus_client import Histogram

expiry_delay_seconds = Histogram(
    "expiry_delay_seconds",
    "How long after its deadline an unpaid order was cancelled.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 600.0),
)
