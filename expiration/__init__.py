"""expiration: time; publishes that an order's deadline has come."""

from libs.hidden import hidden

with hidden("pymongo.pyopenssl_context"):  # its TLS by pyOpenSSL, which needs service_identity, but loads 2 MB before
    import pymongo  # noqa: F401
with hidden("opentelemetry"):  # its SDK, for metrics that nobody reads
    import redis.observability.providers  # noqa: F401
