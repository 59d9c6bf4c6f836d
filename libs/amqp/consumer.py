"""A queue consumer that loses no acknowledgement when stopped, reconnects quickly and hands over messages undecoded.

How it differs from nameko 2.14's own consumer, with the code that makes each change necessary:
- stock closes its connection as soon as its consumers are cancelled, while workers still run, so that their
  acknowledgements are lost and their messages handled again (`nameko/messaging.py`, `on_iteration`);
- stock waits up to 30 s before it tries a lost broker again (`kombu/connection.py`, `ensure_connection`);
- stock acknowledges what it cannot decode (`kombu/mixins.py`, `on_decode_error`): a provider gets the raw message
  (`libs.amqp.raw_messages`);
- stock logs the address of a lost broker, and of several but the first with their passwords (`on_connection_error`);
- stock logs a lost broker with a traceback, which adds nothing to the error (`kombu/mixins.py`, `run`);
- stock cannot be stopped while the broker is unreachable, nor before it was ever reached (`unregister_provider`);
- stock's heartbeat of 60 s lets the broker keep messages for a consumer that hangs for two or three minutes;
- stock sends a heartbeat only after a second without a message (`kombu/mixins.py`, `consume`), so that the broker gives
  up on a consumer that gets messages more often than that and acknowledges none for a while.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

from amqp.exceptions import NotFound
from eventlet.event import Event
from kombu import Connection, Consumer
from nameko.extensions import ProviderCollector
from nameko.messaging import QueueConsumer as NamekoQueueConsumer
from nameko.messaging import QueueConsumerStopped

from libs.amqp.connection import connection_to, open_once
from libs.errors import is_unavailable, needs_traceback
from libs.settings import verify_seconds

log = logging.getLogger(__name__)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Log the error instead of its traceback when the broker is unreachable or refuses the login."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not needs_traceback(error):
        record.msg, record.args, record.exc_info = "%s: %s", (record.getMessage(), error), None
    return True


logging.getLogger("kombu.mixins").addFilter(_without_traceback)

HEARTBEAT_SECONDS = 5
"""After two or three times as long without a sign of life, the broker delivers a consumer's messages to others."""
HEARTBEAT_CHECK_SECONDS = 1
RECONNECT_SECONDS = 2
MISSING_SECONDS = 1
"""How long to wait for the owner of a missing exchange to declare it, before the next try."""


class QueueConsumer(NamekoQueueConsumer):
    """Consumes the queues of its providers; each has `queue`, `declare(channel)` and `handle_message(message)`.

    `handle_message` is called in a thread for each message. A provider with `received(message)`, which must not block,
    gets its messages by that instead, in order. A provider with `most_at_once` has a channel of its own, with that
    prefetch; so it may acknowledge several messages by one command. The others share a channel.

    `declare` declares everything that a provider needs, its queue first: before the queue is consumed, and then every
    BROKER_VERIFY_SECONDS, because the broker does not report a deleted exchange or binding. When a queue is deleted,
    the broker cancels its consumer, which reconnects. While another part's exchange is missing, everything that does
    not need it carries on.
    """

    _verify_at = 0.0
    _check_heartbeat_at = 0.0

    @property
    def connection(self) -> Connection:
        """A connection that is not open yet, which kombu's mixin clones."""
        return connection_to(self.amqp_uri, HEARTBEAT_SECONDS)

    @property
    def prefetch_count(self) -> int:
        """How many messages of each queue are prefetched; a single number, as most queues share a channel."""
        return int(getattr(self.container, "most_at_once", self.container.max_workers))

    def get_consumers(self, consumer_cls: Callable[..., Any], channel: Any) -> Any:
        """Declare what the providers need, and return a kombu consumer for each."""
        self._consumers = {}
        self._declare(self._providers, channel)
        for provider in self._providers:
            self._consumers[provider] = self._consumer(provider, channel)
        return self._consumers.values()

    def _consumer(self, provider: Any, channel: Any) -> Consumer:
        received, most = getattr(provider, "received", partial(self._received, provider)), self.prefetch_count
        if hasattr(provider, "most_at_once"):
            channel, most = channel.connection.client.channel(), provider.most_at_once
        consumer = Consumer(channel, queues=[provider.queue], on_message=received, auto_declare=False)
        consumer.qos(prefetch_count=most)
        return consumer

    def _verify(self) -> None:
        """Declare again what the providers need, when it is time."""
        if self._consumers and time.monotonic() >= self._verify_at:
            self._declare(self._consumers, next(iter(self._consumers.values())).channel)

    def _declare(self, providers: Iterable[Any], channel: Any) -> None:
        """Let each provider declare what it needs, over a channel of its own: a refusal closes the channel."""
        self._verify_at = time.monotonic() + verify_seconds()
        for provider in providers:
            try:
                with channel.connection.channel() as another:
                    provider.declare(another)
            except NotFound as missing:
                log.warning("%s is not bound, next try in %s s: %s", provider.queue.name, MISSING_SECONDS, missing)
                self._verify_at = time.monotonic() + MISSING_SECONDS

    def _received(self, provider: Any, message: Any) -> None:
        self.container.spawn_managed_thread(
            partial(provider.handle_message, message), identifier=f"{provider.queue.name}.handle_message"
        )

    def ack_message(self, message: Any) -> None:
        """Acknowledge a message; if the connection is lost, the broker requeues it and delivers it again."""
        with _lost_or_logged():
            super().ack_message(message)

    def ack_until(self, message: Any) -> None:
        """Acknowledge a message and all that were delivered over its channel before it, as `ack_message` does."""
        with _lost_or_logged():
            if message.channel.connection:
                message.ack(multiple=True)

    def requeue_message(self, message: Any) -> None:
        """Requeue a message, which the broker does by itself if the connection is lost."""
        with _lost_or_logged():
            super().requeue_message(message)

    def unregister_provider(self, provider: Any) -> None:
        """Stop consuming for a provider; return once that is done, even if consuming has not begun."""
        removed = self._pending_remove_providers[provider] = Event()
        removed.wait()
        ProviderCollector.unregister_provider(self, provider)

    def stop(self) -> None:
        """Wait until every provider is unregistered and the consuming thread, which then ends, has ended."""
        self.wait_for_providers()
        if self._gt is not None:
            self._gt.wait()

    def _handle_thread_exited(self, gt: Any) -> None:
        """Wake those waiting for the first consumer if this was stopped before; stock has no error to raise then."""
        if self.should_stop and not self._consumers_ready.ready():
            self._consumers_ready.send_exception(QueueConsumerStopped())
        else:
            super()._handle_thread_exited(gt)

    def on_iteration(self) -> None:
        """Stop only when consuming has ended and every worker has acknowledged its message."""
        self._check_heartbeat()
        self._cancel_consumers_if_requested()
        self._verify()
        if not self._consumers and not self.container._worker_threads:
            self.should_stop = True

    def _check_heartbeat(self) -> None:
        """Send a heartbeat when one is due; before anything that takes time, or the broker seems silent."""
        if self._consumers and time.monotonic() >= self._check_heartbeat_at:
            self._check_heartbeat_at = time.monotonic() + HEARTBEAT_CHECK_SECONDS
            channel: Any = next(iter(self._consumers.values())).channel
            channel.connection.heartbeat_tick()

    def _cancel_consumers_if_requested(self) -> None:
        """Cancel the consumers of providers that are to stop, even if the connection is lost just then."""
        while self._pending_remove_providers:
            provider, removed = self._pending_remove_providers.popitem()
            consumer = self._consumers.pop(provider, None)
            try:
                if consumer is not None:
                    consumer.cancel()
            finally:
                removed.send()

    @contextmanager
    def establish_connection(self) -> Iterator[Connection]:
        """Yield a connection; an unreachable broker is tried again every second or two, until a stop is requested."""
        with self.create_connection() as connection:
            for tries in count(1):
                try:
                    open_once(connection)
                    break
                except Exception as error:
                    if not is_unavailable(error):
                        raise
                    self._pause_or_stop(error, min(0.5 * tries, RECONNECT_SECONDS))
            yield connection

    def _pause_or_stop(self, error: Exception, seconds: float) -> None:
        """Pause before the next try; release the providers that are to stop, and end with the last of them.

        Their consumers ended with the connection. Stock releases providers only while it is connected, so that without
        a broker it never stops.
        """
        log.warning("the broker is unreachable, next try in %s s: %s", seconds, error)
        self._consumers = {}
        self._cancel_consumers_if_requested()
        time.sleep(seconds)
        if not self._providers:
            self.should_stop = True
            raise ConnectionAbortedError("stopped while the broker was unreachable")


@contextmanager
def _lost_or_logged() -> Iterator[None]:
    """Let an acknowledgement fail with its connection; stock catches only some of it, and the rest ends the process."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        if not is_unavailable(error):
            log.exception("a message could be neither acknowledged nor requeued")
