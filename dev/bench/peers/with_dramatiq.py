"""Dramatiq on RabbitMQ, which acknowledges late by itself. Reliable: publisher confirms.

https://dramatiq.io/reference.html#dramatiq.brokers.rabbitmq.RabbitmqBroker
"""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from dev.bench.peers import work

dramatiq.set_broker(RabbitmqBroker(url=work.AMQP_URL, confirm_delivery=work.RELIABLE))


@dramatiq.actor
def handle(ident: str) -> None:
    """Store the effect."""
    work.handle(ident)


if __name__ == "__main__":
    work.produce(handle.send)
