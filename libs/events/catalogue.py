"""The catalogue: all events of an application, passed to everything that needs them."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.events import topology
from libs.events.event import Event


class Catalogue(Mapping[str, Event]):
    """The events of an application, by their names: `Catalogue(OrderPlaced, OrderShipped, ...)`."""

    def __init__(self, *events: Event) -> None:
        self._events = {event.name: event for event in events}

    def __getitem__(self, name: str) -> Event:
        return self._events[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def published_by(self, source: str) -> list[Event]:
        """Return the events that the service `source` publishes."""
        return [event for event in self._events.values() if event.source == source]

    def consumed_by(self, listener: str) -> list[Event]:
        """Return the events to which the service `listener` listens."""
        return [event for event in self._events.values() if listener in event.listeners]

    def listeners(self) -> list[str]:
        """Return the names of the services that listen to any event."""
        return sorted({listener for event in self._events.values() for listener in event.listeners})

    def queue_names(self) -> list[str]:
        """Return the name of each listener's queue for each event."""
        return [topology.queue_name(listener, event) for event in self.values() for listener in event.listeners]

    def declare(self, channel: Any) -> None:
        """Declare all exchanges, queues and parking queues, as a user that may configure everything at the broker."""
        topology.declare_published(channel, self._events.values())
        for listener in self.listeners():
            topology.declare_consumed(channel, listener, self.consumed_by(listener))
            topology.bind_consumed(channel, listener, self.consumed_by(listener))
