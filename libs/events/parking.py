"""Parked (dead-lettered) events: an operator lists, replays or discards them. Nothing else ever removes one.

Events that are retried for longer than is normal are listed, too.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from amqp.exceptions import NotFound

from libs.alarms import EVERY
from libs.amqp import Outgoing, Publisher
from libs.amqp.connection import connect
from libs.amqp.unread import UNREADABLE
from libs.events import topology
from libs.events.catalogue import Catalogue
from libs.events.topology import DELAYS_SECONDS

DROPPED_ON_REPLAY = ("x-attempt", "x-reason", "x-failed-at", "x-queue", "x-death", UNREADABLE)


@dataclass(frozen=True)
class Parked:
    """One parked or stuck event: the listener's queue, the event's id, why and how often it failed, its body."""

    queue: str
    event_id: str | None
    reason: str
    attempts: int
    failed_at: str
    body: Any
    headers: dict[str, Any]


class Parking:
    """The parking queues of one broker, of the events in `catalogue`."""

    def __init__(self, amqp_url: str, catalogue: Catalogue) -> None:
        self.amqp_url = amqp_url
        self.catalogue = catalogue

    def count(self) -> dict[str, int]:
        """Return how many events are parked, for each listener's queue that has any."""
        with connect(self.amqp_url) as connection:
            counts = {queue: _count(connection, topology.parked_name(queue)) for queue in self.catalogue.queue_names()}
        return {queue: count for queue, count in counts.items() if count}

    def show(self, queue: str, limit: int = 100) -> list[Parked]:
        """Return the first `limit` events parked for `queue`; they stay parked."""
        shown: list[Parked] = []

        def show(message: Any) -> bool:
            shown.append(_parked(queue, message))
            return False

        self._visit(topology.parked_name(queue), limit, show)
        return shown

    def list_stuck(self, delays_seconds: tuple[float, ...] = DELAYS_SECONDS, limit: int = 1000) -> list[Parked]:
        """Return the events that have failed often enough for an alarm, and are being retried: they go on being.

        At most `limit` of each listener's that wait for their next try. `delays_seconds` are those of the handlers.
        """
        stuck: list[Parked] = []

        def look(message: Any) -> bool:
            found = _parked(message.delivery_info["routing_key"], message)
            failures = found.attempts - 1  # it is counted before it waits for its next try
            if failures >= EVERY:
                stuck.append(replace(found, attempts=failures))
            return False

        for listener in self.catalogue.listeners():
            self._visit(topology.wait_name(listener, delays_seconds[-1]), limit, look)
        return stuck

    def replay(self, queue: str, event_id: str | None = None) -> int:
        """Send the parked events of `queue`, or the one with `event_id`, back to it; return how many."""
        publisher = Publisher(self.amqp_url)

        def send_back(message: Any) -> bool:
            if event_id not in (None, message.properties.get("message_id")):
                return False
            return not publisher.publish([_replayed(queue, message)])

        try:
            return self._visit(topology.parked_name(queue), None, send_back)
        finally:
            publisher.close()

    def discard(self, queue: str, event_id: str) -> int:
        """Delete the parked event `event_id` of `queue` for good; return how many there were."""
        parked = topology.parked_name(queue)
        return self._visit(parked, None, lambda message: message.properties.get("message_id") == event_id)

    def _visit(self, name: str, limit: int | None, is_done: Callable[[Any], bool]) -> int:
        """Pass each message in a queue to `is_done`; remove those for which it returns True, and return how many.

        A queue that does not exist is empty.
        """
        with connect(self.amqp_url) as connection:
            channel, done = connection.channel(), 0
            take = partial(channel.basic_get, name)
            try:
                messages = list(islice(iter(take, None), limit))  # before any is sent back: it may be parked again
            except NotFound:
                return 0
            for message in messages:
                if is_done(message):
                    channel.basic_ack(message.delivery_tag)
                    done += 1
            channel.basic_recover(requeue=True)  # the others, before the next call lists them
            return done


def _count(connection: Any, name: str) -> int:
    """Return how many messages are in a queue; one that does not exist is empty."""
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(name, passive=True).message_count)
    except NotFound:
        return 0


def _parked(queue: str, message: Any) -> Parked:
    headers = {**_delivery_limit_headers(message), **(message.headers or {})}
    attempts = headers.get("x-attempt")
    try:
        body = json.loads(message.body)
    except (ValueError, RecursionError):
        body = message.body.decode(errors="replace")
    return Parked(
        queue,
        message.properties.get("message_id"),
        str(headers.get("x-reason", "")),
        attempts if isinstance(attempts, int) else 0,
        str(headers.get("x-failed-at", "")),
        body,
        headers,
    )


def _delivery_limit_headers(message: Any) -> dict[str, Any]:
    """Return our headers for an event that the broker itself dead-lettered, from its header x-death."""
    deaths = (message.headers or {}).get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and death.get("reason") == "delivery_limit":
            reason = f"delivered {topology.DELIVERY_LIMIT} times, and each time the service died or lost its connection"
            time = death.get("time")
            at = time.replace(tzinfo=UTC).isoformat() if isinstance(time, datetime) else ""
            return {"x-reason": reason, "x-attempt": topology.DELIVERY_LIMIT, "x-failed-at": at}
    return {}


def _replayed(queue: str, message: Any) -> Outgoing:
    headers = {name: value for name, value in (message.headers or {}).items() if name not in DROPPED_ON_REPLAY}
    ident = message.properties.get("message_id")
    return Outgoing(
        topology.home_name(queue.partition(".")[0]),
        queue,
        message.body,
        headers,
        content_type=message.properties.get("content_type", "application/json"),
        **({"message_id": ident} if ident else {}),
    )
