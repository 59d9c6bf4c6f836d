"""expiration: time; publishes that an order's deadline has come."""

import sys

if "pymongo" not in sys.modules:  # its TLS by pyOpenSSL needs service_identity, which is missing, but loads 2 MB before
    sys.modules["pymongo.pyopenssl_context"] = None  # type: ignore[assignment]  # Python then raises ImportError
if "redis" not in sys.modules:  # it would import OpenTelemetry's SDK if it found that, for metrics that nobody reads
    found = sys.modules.get("opentelemetry")
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]
    import redis.observability.providers  # noqa: F401

    del sys.modules["opentelemetry"]
    if found:
        sys.modules["opentelemetry"] = found
