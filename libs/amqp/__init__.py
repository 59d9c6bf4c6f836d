"""Our three changes to how nameko meets RabbitMQ, on which `libs.events` and `libs.rpc` both stand.

- `publisher`: one long-lived channel that publishes in batches and waits for the broker's confirms, with a deadline;
- `consumer`: a queue consumer that loses no acknowledgement on a stop and hands over messages undecoded;
- `container`: a service container that gives each worker its correlation id and deadline, and logs each failure once.

The last two bring nameko and eventlet into a process, so they are imported by their own names, by services alone.
"""

from libs.amqp.publisher import BrokerUnavailable, Outgoing, Publisher

__all__ = ["BrokerUnavailable", "Outgoing", "Publisher"]
