"""expiration: deadlines; publishes an event when that of an order has come."""

from libs.hidden import hidden

with hidden("opentelemetry"):  # redis would import its SDK, for metrics that nobody reads
    import redis.observability.providers  # noqa: F401
