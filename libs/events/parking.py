"""Parked (dead-lettered) events of one listener: listing, replaying and discarding them. Nothing else removes one.

Events that have been retried for unusually long are listed, too. An event that another call is looking at is skipped: a
queue delivers a message to one consumer at a time.
"""

import logging
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from amqp.exceptions import NotFound
from bson import Binary
from nameko.extensions import DependencyProvider
from pymongo import DESCENDING
from pymongo.database import Database

from libs.alarms import ALARM_EVERY
from libs.amqp import Outgoing, Publisher
from libs.amqp.connection import connect
from libs.amqp.raw_messages import UNREADABLE
from libs.events import topology
from libs.events.handlers import ACTED_ON, RetryPublisher
from libs.settings import AMQP_FORM, amqp_url, parsed

log = logging.getLogger(__name__)

REPLAYS = "x-replays"
"""The header that counts how often an event has been replayed."""
DROPPED_ON_REPLAY = ("x-attempt", "x-reason", "x-failed-at", "x-queue", UNREADABLE, *ACTED_ON)
LONGEST_TEXT, LONGEST_BODY = 1000, 10_000
"""Characters of what is shown of a header and of a body."""
MOST_COUNTED = 10**9
MOST_STUCK = 100
LOOK_SECONDS = 15.0
"""How long a call may spend on looking at events; it reports how many it did not get to."""


Visit = Callable[[Any], bool]
"""A function of a message; returns whether to remove it from its queue."""


@dataclass(frozen=True)
class Parked:
    """A parked or stuck event: the listener's queue, the event's id, why and how often it failed, its body as text.

    `exception`: the name of the exception of the last attempt. `failed_at`: when the first attempt failed.
    """

    queue: str
    event_id: str | None
    exception: str
    reason: str
    attempts: int
    failed_at: str
    replays: int
    correlation_id: str
    body: str


@dataclass(frozen=True)
class Selection:
    """Parked events of one queue: those with one of these ids and with this exception; None means any."""

    queue: str
    ids: Collection[str] | None = None
    exception: str | None = None

    def has(self, event: Parked) -> bool:
        """Return whether an event is selected."""
        return (self.ids is None or event.event_id in self.ids) and self.exception in (None, event.exception)


@dataclass
class Group:
    """How many events of one queue failed with the same exception, and when the first one did.

    An `exception` of None: those that were not looked at.
    """

    queue: str
    exception: str | None
    count: int = 0
    oldest: str = ""


@dataclass
class Size:
    """How many events wait in a queue, how many instances listen to it, and how many of its events are parked."""

    queue: str
    waiting: int | None
    listeners: int | None
    parked: int


class Archive:
    """The events that operators discarded, in the service's own database, kept forever."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._discarded = database.discarded_events

    def add(self, operator: str, reason: str, now: datetime, event: Parked, body: bytes) -> None:
        """Keep an event that is about to be discarded, with its whole body."""
        discarded = {"discarded_at": now, "discarded_by": operator, "discarded_because": reason}
        self._discarded.insert_one({**vars(event), "body": Binary(body), **discarded})

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the events that were discarded last, newest first; their bodies as text, truncated."""
        found = self._discarded.find({}, {"_id": 0}, sort=[("_id", DESCENDING)], limit=limit)
        return [{**each, "body": _beginning(each["body"])} for each in found]


class Parking:
    """The parking queues of a listener's `queues`, and its delay queues (`waits`) that hold stuck events.

    Those of its `retired` queues, to which it no longer listens, may have parked events still.
    """

    def __init__(
        self,
        amqp_url: str,
        queues: Collection[str] = (),
        waits: Collection[str] = (),
        retired: Collection[str] = (),
    ) -> None:
        self.amqp_url = amqp_url
        self.queues = [*queues, *retired]
        self.waits = waits
        self.retired = retired

    def count(self) -> dict[str, int]:
        """Return how many events are parked, for each queue that has any."""
        with connect(self.amqp_url) as connection:
            counts = {queue: _count(connection, topology.parked_name(queue)) for queue in self.queues}
        return {queue: count for queue, count in counts.items() if count}

    def sizes(self) -> list[Size]:
        """Return how full each queue is."""
        sizes: list[Size] = []
        if not self.queues:
            return sizes
        with connect(self.amqp_url) as connection:
            for queue in sorted({*self.queues} - {*self.retired}):
                found = _declared(connection, queue)
                parked = _count(connection, topology.parked_name(queue))
                waiting, listeners = (found.message_count, found.consumer_count) if found else (None, None)
                sizes.append(Size(queue, waiting, listeners, parked))
        return sizes

    def about(self, ident: str) -> tuple[list[Parked], list[Parked]]:
        """Return the parked events, and the stuck ones, whose bodies contain an id."""
        wanted, parked, retried = ident.encode(), list[Parked](), list[Parked]()

        def look(message: Any, queue: str = "") -> bool:
            if wanted in message.body:
                event = _parked(queue or message.delivery_info["routing_key"], message)
                (parked if queue else retried).append(event)
            return False

        self._visit_all([*self._each_parked(look), *((wait, look) for wait in self.waits)])
        return parked, retried

    def groups(self) -> list[Group]:
        """Return the parked events of all queues, grouped by queue and exception."""
        groups: dict[tuple[str, str | None], Group] = {}

        def add(queue: str, exception: str | None, count: int, failed_at: str) -> None:
            group = groups.setdefault((queue, exception), Group(queue, exception))
            group.count += count
            group.oldest = min(filter(None, (group.oldest, failed_at)), default="")

        def look(message: Any, queue: str) -> bool:
            event = _parked(queue, message)
            add(queue, event.exception, 1, event.failed_at)
            return False

        for queue, left in zip(self.queues, self._visit_all(self._each_parked(look)), strict=True):
            if left:
                add(queue, None, left, "")
        return list(groups.values())

    def show(self, selection: Selection, limit: int = 100) -> list[Parked]:
        """Return the first `limit` of the selected events; they stay parked."""
        shown: list[Parked] = []

        def look(message: Any) -> bool:
            event = _parked(selection.queue, message)
            if len(shown) < limit and selection.has(event):
                shown.append(event)
            return False

        self._visit(topology.parked_name(selection.queue), look, is_enough=lambda: len(shown) >= limit)
        return shown

    def replay(self, selection: Selection) -> tuple[int, int]:
        """Send the selected events back to their queue with a full set of retries; count that in the header REPLAYS.

        Returns how many were sent, and how many were not looked at. Raises BrokerUnavailable when it is
        unknown whether one was sent; that one stays parked.
        """
        publisher = Publisher(self.amqp_url)

        def send_back(message: Any) -> bool:
            event = _parked(selection.queue, message)
            if not selection.has(event):
                return False
            if refused := publisher.publish([_replayed(event, message)]):
                log.error("%s of %s cannot be replayed: %s", event.event_id, event.queue, refused)
                return False
            log.info("replayed %s of %s: %s", event.event_id, event.queue, event.reason)
            return True

        try:
            return self._visit(topology.parked_name(selection.queue), send_back)
        finally:
            publisher.close()

    def discard(self, selection: Selection, archive: Callable[[Parked, bytes], None]) -> tuple[int, int]:
        """Delete the selected events for good, each after `archive(event, body)` has kept it.

        Returns how many were deleted, and how many were not looked at.
        """

        def delete(message: Any) -> bool:
            event = _parked(selection.queue, message)
            if selection.has(event):
                archive(event, bytes(message.body))
                log.warning("discarded %s of %s: %s", event.event_id, event.queue, event.reason)
            return selection.has(event)

        return self._visit(topology.parked_name(selection.queue), delete)

    def stuck(self) -> list[Parked]:
        """Return events that failed often enough for an alarm and are still being retried, MOST_STUCK at most."""
        stuck: list[Parked] = []

        def look(message: Any) -> bool:
            event = _parked(message.delivery_info["routing_key"], message)
            failures = event.attempts - 1  # it is counted before it waits for its next try
            if failures >= ALARM_EVERY and len(stuck) < MOST_STUCK:
                stuck.append(replace(event, attempts=failures))
            return False

        self._visit_all([(wait, look) for wait in self.waits])
        return stuck

    def _each_parked(self, look: Callable[..., bool]) -> list[tuple[str, Visit]]:
        """Return each parking queue with a visit that calls `look` with the listener's `queue`."""
        return [(topology.parked_name(queue), partial(look, queue=queue)) for queue in self.queues]

    def _visit_all(self, visits: Collection[tuple[str, Visit]]) -> list[int]:
        """Visit several queues over one connection; return how many messages of each were not visited."""
        if not visits:
            return []
        deadline = time.monotonic() + LOOK_SECONDS
        with connect(self.amqp_url) as connection:
            return [_visit(connection, name, visit, deadline)[1] for name, visit in visits]

    def _visit(self, name: str, visit: Visit, is_enough: Callable[[], bool] = lambda: False) -> tuple[int, int]:
        """Visit one queue: see the function."""
        with connect(self.amqp_url) as connection:
            return _visit(connection, name, visit, time.monotonic() + LOOK_SECONDS, is_enough)


class ParkingProvider(DependencyProvider):
    """Gives a service the Parking of the queues of its handlers. Needs AMQP_URI in config.yml.

    `retired`: queues of earlier versions, of any listener.
    """

    retries = RetryPublisher()

    def __init__(self, retired: Collection[str] = ()) -> None:
        self.retired = retired

    def setup(self) -> None:
        """Read the broker's address; the queues are known once all handlers are set up."""
        url = parsed("AMQP_URI", amqp_url, AMQP_FORM, self.container.config, self.container.service_name)
        self.parking = Parking(url)

    def start(self) -> None:
        """Take the handlers' queues, and the delay queues with their longest delays."""
        listener, handlers = self.container.service_name, self.retries.handlers
        waits = {topology.wait_name(listener, each.delays_seconds[-1]) for each in handlers if each.delays_seconds}
        retired = [queue for queue in self.retired if queue.partition(".")[0] == listener]
        self.parking = Parking(self.parking.amqp_url, [each.queue.name for each in handlers], sorted(waits), retired)

    def get_dependency(self, worker_ctx: Any) -> Parking:
        """Return the Parking."""
        return self.parking


def _visit(
    connection: Any, name: str, visit: Visit, deadline: float, is_enough: Callable[[], bool] = lambda: False
) -> tuple[int, int]:
    """Pass each message that is in a queue now to `visit`, and remove those for which it returns True.

    Messages that are replayed and come back meanwhile are not visited again. A queue that does not exist is empty.
    Returns how many were removed, and how many were not visited: the deadline passed, `is_enough`, or somebody else had
    them.
    """
    left, removed = _count(connection, name), 0
    if not left:
        return 0, 0
    with connection.channel() as channel:
        while left and time.monotonic() < deadline and not is_enough():
            message = channel.basic_get(name)
            if message is None:  # somebody else is looking at what is left, or has removed it
                break
            left -= 1
            if visit(message):
                channel.basic_ack(message.delivery_tag)
                removed += 1
    # closing the channel returned the others at once; `basic_recover` would take the broker half a minute for 10,000
    return removed, left


def _count(connection: Any, name: str) -> int:
    """Return how many messages are in a queue; one that does not exist is empty."""
    found = _declared(connection, name)
    return int(found.message_count) if found else 0


def _declared(connection: Any, name: str) -> Any:
    """Return the broker's description of a queue, None if it does not exist."""
    try:
        with connection.channel() as channel:
            return channel.queue_declare(name, passive=True)
    except NotFound:
        return None


def _parked(queue: str, message: Any) -> Parked:
    headers = {**_delivery_limit_headers(message), **(message.headers or {})}
    reason = _text(headers.get("x-reason"))
    name = re.match(r"\w+(?=: )", reason)
    return Parked(
        queue,
        message.properties.get("message_id"),
        name[0] if name else "",
        reason,
        _number(headers.get("x-attempt")),
        _text(headers.get("x-failed-at")),
        _number(headers.get(REPLAYS)),
        _text(headers.get("nameko.correlation_id")),
        _beginning(message.body),
    )


def _beginning(body: bytes) -> str:
    """Return a body as text, truncated."""
    return body[: 4 * LONGEST_BODY].decode(errors="replace")[:LONGEST_BODY]


def _text(header: Any) -> str:
    """Return a header as text, truncated: we wrote it, unless somebody forged it."""
    return str("" if header is None else header)[:LONGEST_TEXT]


def _number(header: Any) -> int:
    return min(max(header, 0), MOST_COUNTED) if isinstance(header, int) else 0


def _delivery_limit_headers(message: Any) -> dict[str, Any]:
    """Return our headers for an event that the broker itself dead-lettered, from its header x-death."""
    deaths = (message.headers or {}).get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and death.get("reason") == "delivery_limit":
            times = f"delivered {topology.DELIVERY_LIMIT} times"
            reason = f"NeverAcknowledged: {times}, and each time the service died or lost its connection"
            at = death.get("time")
            failed_at = at.replace(tzinfo=UTC).isoformat() if isinstance(at, datetime) else ""
            return {"x-reason": reason, "x-attempt": topology.DELIVERY_LIMIT, "x-failed-at": failed_at}
    return {}


def _replayed(event: Parked, message: Any) -> Outgoing:
    headers = {name: value for name, value in (message.headers or {}).items() if name not in DROPPED_ON_REPLAY}
    ident: dict[str, Any] = {"message_id": event.event_id} if event.event_id else {}
    return Outgoing(
        topology.home_name(event.queue.partition(".")[0]),
        event.queue,
        message.body,
        {**headers, REPLAYS: event.replays + 1},
        content_type=message.properties.get("content_type", "application/json"),
        **ident,
    )
