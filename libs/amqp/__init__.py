"""Our three changes to how nameko meets RabbitMQ, on which `libs.events` and `libs.rpc` both stand.

- `publisher`: one long-lived channel that publishes in batches and waits for the broker's confirms, with a deadline;
- `consumer`: a queue consumer that loses no acknowledgement on a stop and hands over messages undecoded;
- `container`: a service container that gives each worker its correlation id and deadline, and logs each failure once.
"""

from libs.amqp.consumer import QueueConsumer
from libs.amqp.container import Container
from libs.amqp.publisher import BrokerUnavailable, Outgoing, Publisher

__all__ = ["BrokerUnavailable", "Container", "Outgoing", "Publisher", "QueueConsumer"]
