"""Our replacement for nameko's use of RabbitMQ; `libs.events` and `libs.rpc` are built on it.

- `publisher`: one long-lived channel that publishes in batches with publisher confirms, and with a deadline;
- `consumer`: a queue consumer that loses no acknowledgement when stopped and hands over messages undecoded;
- `container`: a service container that gives each worker its correlation id and deadline, and logs each failure once;
- `timer`: timers that keep running when the host's clock is set.

The last three load nameko and eventlet, so this package does not import them; services do.
"""

from libs.amqp.publisher import BrokerUnavailable, Outgoing, Publisher

__all__ = ["BrokerUnavailable", "Outgoing", "Publisher"]
