"""Publishing with confirms: persistent, mandatory, pipelined in batches, and always with a deadline."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kombu import Connection

from libs.amqp.connection import BLOCKED, SHORTEST_SECONDS, connect, discard
from libs.errors import Unavailable, is_unavailable

log = logging.getLogger(__name__)

CONFIRM_SECONDS = 5.0
UNROUTABLE = "unroutable"
NACKED = "nacked"


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached or did not confirm in time; what was published may or may not have arrived."""


class Blocked(BrokerUnavailable):
    """The broker is short of memory or disk, and reads nothing from publishers until that is over."""


@dataclass(frozen=True)
class Outgoing:
    """A message to publish. `body` is bytes of `content_type`; a mandatory message must reach at least one queue."""

    exchange: str
    routing_key: str
    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    message_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    content_type: str = "application/json"
    content_encoding: str = "utf-8"
    mandatory: bool = True


class Publisher:
    """Publishes batches over one connection of its own, opened when first needed and again after a failure.

    Safe to share between threads and greenlets. `declare(channel)` runs on every new connection, so that queues
    exist before anything is sent to them, and again before a second try when something is unroutable.
    """

    def __init__(
        self, amqp_url: str, declare: Callable[[Any], None] | None = None, confirm_seconds: float = CONFIRM_SECONDS
    ) -> None:
        self.amqp_url = amqp_url
        self.confirm_seconds = confirm_seconds
        self._declare = declare
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._channel: Any = None
        self._is_blocked = False
        self._published = 0
        self._waiting: dict[int, str] = {}
        self._failed: dict[str, str] = {}

    def publish(self, batch: Sequence[Outgoing]) -> dict[str, str]:
        """Publish `batch` in order and wait until the broker has answered for every message.

        Returns the messages that did not arrive, as {message_id: reason}; empty when all are safe. Raises
        BrokerUnavailable when that is unknown: then publish the batch again, as duplicates do no harm. While the broker
        is known to block publishers, that is at once.
        """
        with self._lock:
            while True:
                fresh = self._connection is None
                try:
                    return self._publish_routed(batch, fresh)
                except Blocked:  # keep the connection: the broker would keep it too, and block another one as well
                    raise
                except Exception as error:
                    self._drop()  # half of the batch may be on its way
                    if not is_unavailable(error):
                        raise
                    if fresh:  # else it had been idle and may have died long ago: a new one may do
                        raise BrokerUnavailable(str(error)) from error

    def check(self, exchange: str) -> None:
        """Publish a message that reaches no queue; raise BrokerUnavailable when the broker does not confirm it."""
        if failed := self.publish([Outgoing(exchange, "check", b"", mandatory=False)]):
            raise BrokerUnavailable(*failed.values())

    def close(self) -> None:
        """Close the connection; the next publish opens another."""
        with self._lock:
            self._drop()

    def _publish_routed(self, batch: Sequence[Outgoing], fresh: bool) -> dict[str, str]:
        failed = self._publish(batch)
        lost = [message for message in batch if failed.get(message.message_id, "").startswith(UNROUTABLE)]
        if lost and self._declare and not fresh:  # somebody may have deleted the queue or its binding
            self._declare(self._channel)
            arrived = {message.message_id for message in lost} - set(retried := self._publish(lost))
            failed = {ident: reason for ident, reason in failed.items() if ident not in arrived} | retried
        return failed

    def _publish(self, batch: Sequence[Outgoing]) -> dict[str, str]:
        channel, self._failed = self._open(), {}
        for message in batch:
            self._send(channel, message)
        deadline = time.monotonic() + self.confirm_seconds
        while self._waiting:
            try:
                channel.connection.drain_events(timeout=max(deadline - time.monotonic(), SHORTEST_SECONDS))
            except TimeoutError as error:
                if not self._is_blocked:
                    raise
                self._waiting = {}
                raise Blocked(BLOCKED) from error
        return self._failed

    def _send(self, channel: Any, message: Outgoing) -> None:
        prepared = channel.prepare_message(
            message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=message.headers,
            properties={"delivery_mode": 2, "message_id": message.message_id},
        )
        self._published += 1
        self._waiting[self._published] = message.message_id
        channel.basic_publish(
            prepared, message.exchange, message.routing_key, mandatory=message.mandatory, timeout=self.confirm_seconds
        )

    def _open(self) -> Any:
        if NACKED in self._failed.values():  # it may take a dead node for a quorum queue's leader for ever
            self._drop()
        if self._is_blocked:
            self._require_unblocked()
        if self._connection is None:
            self._connection = connection = connect(self.amqp_url)
            broker: Any = connection.connection
            broker.on_blocked, broker.on_unblocked = self._blocked, self._unblocked
            channel = connection.channel()
            if self._declare:
                self._declare(channel)
            channel.confirm_select()
            channel.events["basic_ack"].add(lambda tag, multiple: self._answered(tag, multiple, None))
            channel.events["basic_nack"].add(lambda tag, multiple: self._answered(tag, multiple, NACKED))
            channel.events["basic_return"].add(self._returned)
            self._channel, self._published, self._waiting = channel, 0, {}
        return self._channel

    def _require_unblocked(self) -> None:
        with suppress(TimeoutError):
            while self._is_blocked:
                self._channel.connection.drain_events(timeout=SHORTEST_SECONDS)
        if self._is_blocked:
            raise Blocked(BLOCKED)

    def _blocked(self, reason: str) -> None:
        log.warning("the broker blocks publishers")
        self._is_blocked = True

    def _unblocked(self) -> None:
        self._is_blocked = False

    def _answered(self, tag: int, multiple: bool, reason: str | None) -> None:
        tags = [waiting for waiting in self._waiting if waiting <= tag] if multiple else [tag]
        for answered in tags:
            message_id = self._waiting.pop(answered, None)
            if message_id and reason:
                self._failed[message_id] = reason

    def _returned(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        # the broker returns an unroutable message first and confirms it afterwards
        self._failed[message.properties["message_id"]] = f"{UNROUTABLE}: {exchange} {routing_key}"

    def _drop(self) -> None:
        connection, self._connection, self._channel, self._is_blocked = self._connection, None, None, False
        discard(connection)
