"""expiration: time; publishes that an order's deadline has come."""

import sys

if "redis" not in sys.modules:  # it would import OpenTelemetry's SDK if it found that, for metrics that nobody reads
    found = sys.modules.get("opentelemetry")
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # Python then raises ImportError
    import redis.observability.providers  # noqa: F401

    del sys.modules["opentelemetry"]
    if found:
        sys.modules["opentelemetry"] = found
