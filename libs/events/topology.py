"""The exchanges and queues of events, and their names.

An exchange belongs to the service that publishes to it, a queue and its bindings to its listener: each declares its own
only. An administrator declares all of it before anything is published (`Catalogue.declare`).

All queues are durable, of the type that `libs.amqp.queues` gives. Each listener has, under its name:

- delay queues `<listener>.wait.<ms>` for retries, each behind a fanout exchange of the same name: a message waits there
  with its own queue as routing key until its TTL ends, and is dead-lettered to the exchange `<listener>.home`, which
  leads back to that queue. These are quorum queues whatever the setting, for only those dead-letter with confirms
  (rabbitmq.com/docs/quorum-queues, "at-least-once dead lettering");
- parking queues `<queue>.parked`, behind the exchange `<listener>.parking`, for what failed every try.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from kombu import Exchange, Queue

from libs.amqp.queues import queue_type
from libs.events.event import Event

DELAYS_SECONDS = (0.1, 1.0, 5.0, 30.0)
"""The backoff, unless a handler has its own: how long an event waits before its second, third… try."""

SAVED_AT = "saved-at"
"""The header with the time at which an event was saved, in milliseconds since 1970."""
WATERMARK = "Watermark"
"""The routing key of watermarks (`libs/events/watermarks.py`), and no event's name."""
ALL = "*"
"""The routing key of a binding for all events and watermarks of a service: it delivers all of them, or none."""

DELIVERY_LIMIT = 100
"""How often a quorum queue delivers an event that is never acknowledged, before the broker parks it."""
UNLIMITED = 2**31 - 1
"""In effect no limit, in every version: -1 is none in RabbitMQ 4, but 0 in RabbitMQ 3, which drops at the first return.

Delay queues need none: past any limit the broker dead-letters an event to its home, which only makes its retry early.
"""

AT_LEAST_ONCE = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


def queue_name(listener: str, event: Event) -> str:
    """Return the name of the queue in which `listener` receives `event`."""
    return f"{listener}.{event.name}"


def parked_name(queue: str) -> str:
    """Return the name of the parking queue of `queue`."""
    return f"{queue}.parked"


def wait_name(listener: str, delay_seconds: float) -> str:
    """Return the name of the exchange, and of its delay queue, in which retries of `listener` wait `delay_seconds`."""
    return f"{listener}.wait.{round(delay_seconds * 1000)}"


def home_name(listener: str) -> str:
    """Return the name of the exchange that leads to each queue of `listener` by the queue's own name."""
    return f"{listener}.home"


def parking_name(listener: str) -> str:
    """Return the name of the exchange that leads to each parking queue of `listener` by its own name."""
    return f"{listener}.parking"


def listener_queue(listener: str, event: Event) -> Queue:
    """Return the queue in which `listener` receives `event`."""
    name = queue_name(listener, event)
    limit: dict[str, Any] = {}
    if queue_type():  # by default RabbitMQ 4 drops what a quorum queue has delivered 20 times
        parked = {"x-dead-letter-exchange": parking_name(listener), "x-dead-letter-routing-key": parked_name(name)}
        limit = {**AT_LEAST_ONCE, "x-delivery-limit": DELIVERY_LIMIT, **parked}
    return _queue(name, limit)


def declare_published(channel: Any, events: Iterable[Event]) -> None:
    """Declare the exchanges of `events`, for the service that publishes them."""
    for name in {event.exchange for event in events}:
        Exchange(name, type="topic", durable=True)(channel).declare()


def declare_consumed(channel: Any, listener: str, events: Iterable[Event]) -> None:
    """Declare what is the listener's own for `events`: its queues, the exchange back to them, the parking queues."""
    home = Exchange(home_name(listener), type="direct", durable=True)
    parking = Exchange(parking_name(listener), type="direct", durable=True)
    for event in events:
        queue = listener_queue(listener, event)(channel)
        queue.declare()
        home(channel).declare()
        queue.bind_to(home, routing_key=queue.name)
        parked = parked_name(queue.name)
        kept = {"x-delivery-limit": UNLIMITED} if queue_type() else {}  # may be listed any number of times
        _queue(parked, kept, exchange=parking, routing_key=parked)(channel).declare()


def bind_consumed(channel: Any, listener: str, events: Iterable[Event]) -> None:
    """Bind the queues of `listener` to the exchanges of `events`; raises NotFound while one of these is missing."""
    for event in events:
        channel.queue_bind(queue_name(listener, event), event.exchange, event.name)


def declare_waits(channel: Any, listener: str, delays_seconds: Iterable[float]) -> None:
    """Declare a delay queue of `listener` for each delay."""
    for delay in delays_seconds:
        name, home = wait_name(listener, delay), home_name(listener)
        arguments = {**AT_LEAST_ONCE, "x-message-ttl": round(delay * 1000), "x-dead-letter-exchange": home}
        _queue(name, arguments, exchange=Exchange(name, type="fanout", durable=True))(channel).declare()


def _queue(name: str, arguments: Mapping[str, Any] = MappingProxyType({}), **options: Any) -> Queue:
    return Queue(name, durable=True, queue_arguments={**queue_type(), **arguments}, **options)
