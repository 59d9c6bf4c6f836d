"""The exchanges and queues of the catalogue, and their names. Declared by everyone, before anything is published.

All queues are durable, of the kind that `libs.amqp.queues` says. A message that must wait goes to `events.wait.<ms>`
through the fanout exchange of that name, with its listener's queue as routing key; when its time is up the broker sends
it to the default exchange, and so back home. The queues in which messages wait are quorum queues whatever the setting,
because only those send on with confirms (rabbitmq.com/docs/quorum-queues, "at-least-once dead lettering").
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from kombu import Exchange, Queue

from libs.amqp.queues import queue_type
from libs.events.catalogue import EVENTS, Event

RETRY_PREFIX = "events.wait."

DELIVERY_LIMIT = 100
"""How often a quorum queue delivers an event that nobody acknowledges or puts aside, before the broker parks it."""

SENT_ON_SAFELY = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


def queue_name(listener: str, event: Event) -> str:
    """Return the name of the queue in which `listener` receives `event`."""
    return f"{listener}.{event.name}"


def parked_name(queue: str) -> str:
    """Return the name of the queue that keeps what `queue`'s handler could not do."""
    return f"{queue}.parked"


def retry_name(delay_seconds: float) -> str:
    """Return the name of the exchange, and of its queue, in which messages wait for `delay_seconds`."""
    return f"{RETRY_PREFIX}{round(delay_seconds * 1000)}"


def queue_names() -> list[str]:
    """Return the names of all listeners' queues, each followed by its parking queue."""
    queues = [queue_name(listener, event) for event in EVENTS.values() for listener in event.listeners]
    return [name for queue in queues for name in (queue, parked_name(queue))]


def listener_queue(listener: str, event: Event) -> Queue:
    """Return the queue in which `listener` receives `event`."""
    exchange = Exchange(event.exchange, type="topic", durable=True)
    name = queue_name(listener, event)
    limit: dict[str, Any] = {}
    if queue_type():  # RabbitMQ 4 throws away what a quorum queue has delivered 20 times, unless it is told otherwise
        parking = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": parked_name(name)}
        limit = {**SENT_ON_SAFELY, "x-delivery-limit": DELIVERY_LIMIT, **parking}
    return _queue(name, limit, exchange=exchange, routing_key=event.name)


def declare(channel: Any, events: Iterable[Event] = EVENTS.values()) -> None:
    """Declare every exchange, every listener's queue and its parking queue; harmless to repeat."""
    for event in events:
        Exchange(event.exchange, type="topic", durable=True)(channel).declare()
        for listener in event.listeners:
            listener_queue(listener, event)(channel).declare()
            _queue(parked_name(queue_name(listener, event)))(channel).declare()


def declare_retries(channel: Any, delays_seconds: Iterable[float]) -> None:
    """Declare one waiting queue for each delay."""
    for delay in delays_seconds:
        name = retry_name(delay)
        arguments = {**SENT_ON_SAFELY, "x-message-ttl": round(delay * 1000), "x-dead-letter-exchange": ""}
        exchange = Exchange(name, type="fanout", durable=True)
        _queue(name, arguments, exchange=exchange)(channel).declare()


def _queue(name: str, arguments: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> Queue:
    return Queue(name, durable=True, queue_arguments={**queue_type(), **arguments}, **options)
