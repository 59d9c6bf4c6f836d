"""The `rpc` decorator of our services: nameko's wire format, cheaper replies, and no call begun after its deadline.

A reply is transient and unconfirmed, and is sent over one long-lived channel; if it is lost, the caller's wait ends at
its deadline. Stock nameko publishes each reply with a confirm through a pool, which is half the cost of a call, and the
whole process dies if the broker is unreachable at that moment (`nameko/rpc.py`, `RpcConsumer.handle_result`).
"""

import logging
import threading
import time
from functools import partial
from typing import Any

from kombu import Connection
from nameko.exceptions import ContainerBeingKilled, IncorrectSignature, MalformedRequest, MethodNotFound, serialize
from nameko.rpc import Rpc as NamekoRpc
from nameko.rpc import RpcConsumer as NamekoRpcConsumer

from libs import tracing, wire
from libs.amqp.connection import SILENCE_SECONDS, connect, discard
from libs.amqp.consumer import QueueConsumer
from libs.amqp.container import MOST_WAITING
from libs.amqp.raw_messages import require_readable
from libs.clock import iso
from libs.contracts.errors import DomainError
from libs.errors import Kind, Unavailable, kind_of, log_failure
from libs.internal_port import CHECK_SECONDS
from libs.metrics import rpc_handled_seconds
from libs.rpc.client import CONNECT_SECONDS, NO_METHOD, ServiceUnavailable
from libs.rpc.deadlines import Callers
from libs.rpc.topology import RPC_EXCHANGE, calls_queue, declare_calls, is_reply_key

log = logging.getLogger(__name__)

VERIFY_SECONDS = 4.0
NO_ARGUMENTS = b'{"args": [], "kwargs": {}}'
ERROR_NAMES = {Kind.UNAVAILABLE: "ServiceUnavailable", Kind.CONFLICT: "VersionConflict"}
"""The names under which callers see errors that are not bugs."""


class Responder:
    """Sends replies over one channel, opened when first needed and again after a failure."""

    def __init__(self, amqp_url: str) -> None:
        self.amqp_url = amqp_url
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._channel: Any = None
        self._is_blocked = False

    def send(
        self, key: str, correlation_id: str | None, body: bytes, seconds: float = SILENCE_SECONDS, **properties: str
    ) -> None:
        """Send a reply; if that fails for some seconds it is lost, and the caller waits until its deadline."""
        deadline, about = time.monotonic() + seconds, {"delivery_mode": 1, "correlation_id": correlation_id}
        for _ in range(2):
            left = deadline - time.monotonic()
            if left <= 0 or not self._lock.acquire(timeout=left):
                log.warning("a reply could not be sent in time")
                return
            try:
                self._send(key, {**about, **properties}, body, left)
                return
            except Exception as error:  # noqa: BLE001 - raising would end the process
                log_failure(log, error, "a reply could not be sent")
                self._drop()
            finally:
                self._lock.release()

    def _send(self, key: str, properties: dict[str, Any], body: bytes, seconds: float) -> None:
        if self._channel is None:
            self._connection = connect(self.amqp_url, connect_seconds=CONNECT_SECONDS, seconds=seconds)
            broker: Any = self._connection.connection
            broker.on_blocked, broker.on_unblocked = self._blocked, self._unblocked
            self._is_blocked = False
            self._channel = self._connection.channel()
        message = self._channel.prepare_message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            properties=properties,
        )
        self._channel.basic_publish(message, RPC_EXCHANGE.name, key, timeout=min(CONNECT_SECONDS, seconds))

    def _blocked(self, reason: str) -> None:
        self._is_blocked = True

    def _unblocked(self) -> None:
        self._is_blocked = False

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        discard(connection)

    def verify(self) -> None:
        """Drop the channel if the broker has closed it, as it does when the exchange is gone, or is silent.

        Nothing else waits for that broker, which need not be the one whose calls are answered. It takes VERIFY_SECONDS
        at most, for no heartbeat is sent meanwhile. While others connect or send, it leaves finding out to them. A
        broker that blocks publishers is silent, but would keep what is dropped.
        """
        if not self._lock.acquire(timeout=VERIFY_SECONDS / 2):
            return
        try:
            if self._channel is not None:
                with self._channel.connection.transport.having_timeout(VERIFY_SECONDS / 2):
                    self._channel.basic_qos(0, 0, False)  # changes nothing, but is answered
        except Exception as error:  # noqa: BLE001 - raising would end the process
            if not (self._is_blocked and isinstance(error, TimeoutError)):
                log_failure(log, error, "the channel for replies is closed")
                self._drop()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the channel."""
        with self._lock:
            self._drop()


class RpcConsumer(NamekoRpcConsumer):
    """Receives a service's calls and answers them."""

    queue_consumer = QueueConsumer()
    queue: Any
    checked = "broker"

    def setup(self) -> None:
        """Prepare the responder and the queue."""
        if self.queue is None:
            self.responder = Responder(self.container.config["AMQP_URI"])
            self.callers = Callers(self.container.service_name, self.responder)
            self.queue = calls_queue(self.container.service_name)
            self.queue_consumer.register_provider(self)
            self.queue_consumer.register_provider(self.callers)

    def declare(self, channel: Any) -> None:
        """Declare the queue of calls and its binding, and verify that replies can leave."""
        declare_calls(channel, self.container.service_name)
        self.responder.verify()

    def stop(self) -> None:
        """Take no more calls; those in progress have been answered by now."""
        super().stop()
        self.queue_consumer.unregister_provider(self.callers)
        self.responder.close()

    def check_ready(self) -> None:
        """Call the service as others do, over the broker; raise ServiceUnavailable when no answer comes back.

        There is no such method, so the call occupies no worker. Another instance may answer it, but the answer comes by
        the connection over which this one consumes its calls.
        """
        key, expiration = f"{self.container.service_name}.{NO_METHOD}", str(int(CHECK_SECONDS * 1000))
        is_connected = self.callers.queue is not None
        if not is_connected or self.callers.answer(key, NO_ARGUMENTS, CHECK_SECONDS, expiration=expiration) is None:
            raise ServiceUnavailable(f"no answer to {key}")

    def handle_message(self, message: Any) -> None:
        """Pass a call to its method; answer at once if it cannot be dispatched, whatever is wrong with it.

        A call with a reply key that we may not use gets no reply; sending one would close the channel of all replies.
        """
        reply_to = message.properties.get("reply_to")
        if reply_to and not is_reply_key(reply_to):
            log.warning("a request to %s is not answered: it names no reply key", self.queue.name)
            message.properties["reply_to"] = None
        try:
            provider = self.get_provider_for_method(message.delivery_info["routing_key"])
            provider.handle_message(_decode(message), message)
        except ContainerBeingKilled:
            self.requeue_message(message)
        except (MethodNotFound, MalformedRequest, IncorrectSignature, Unavailable) as error:
            self.handle_result(message, None, (type(error), error, None))
        except Exception as error:  # noqa: BLE001 - raising would end the process, and the next one after redelivery
            log.exception("a request to %s cannot be read", self.queue.name)
            self.handle_result(message, None, (type(error), error, None))

    def handle_result(self, message: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        """Answer a call and acknowledge it; never raises."""
        reply_to = message.properties.get("reply_to")
        if reply_to:
            body = encoded_reply(result, exc_info and exc_info[1])
            self.responder.send(reply_to, message.properties.get("correlation_id"), body)
        self.queue_consumer.ack_message(message)
        return result, exc_info


class Rpc(NamekoRpc):
    """Makes a method callable by other services; takes nameko's `expected_exceptions` and `sensitive_arguments`.

    `is_slow`: it waits for an external service, so it has workers of its own (a bulkhead). At most MOST_WAITING calls
    wait for one of these.
    """

    rpc_consumer = RpcConsumer()

    def __init__(self, *arguments: Any, is_slow: bool = False, **options: Any) -> None:
        self.is_slow = is_slow
        super().__init__(*arguments, **options)

    def handle_message(self, body: dict[str, Any], message: Any) -> None:
        """Run the method in a worker, unless the caller may have given up by the time one is free."""
        args, kwargs = body["args"], body["kwargs"]
        self.check_signature(args, kwargs)
        if self.is_slow and self.container.waiting(self) >= MOST_WAITING:
            log.warning("%s was not executed: too many calls wait", self.method_name)
            raise Unavailable("too many calls wait")
        context_data = self.unpack_message_headers(message)
        timeout_ms, deadline_ms = context_data.pop("timeout_ms", None), context_data.pop("deadline_ms", None)
        if isinstance(timeout_ms, int):
            until, caller = time.monotonic() + timeout_ms / 1000, message.properties.get("reply_to") or ""
            context_data["left_seconds"] = partial(self._left_seconds, caller, deadline_ms, until)
        if parent := (message.headers or {}).get(tracing.HEADER):
            name = f"{self.container.service_name}.{self.method_name}"
            about = {"rpc.system.name": "nameko", "rpc.method": name}
            context_data["span"] = partial(tracing.consumer_span, parent, "server", name, about)
        done = partial(self._done, message, time.monotonic())
        self.container.spawn_worker(self, args, kwargs, context_data=context_data, handle_result=done)

    def _done(self, message: Any, began: float, worker_ctx: Any, result: Any, exc_info: Any) -> Any:
        outcome = error_name(exc_info[1]) if exc_info and exc_info[1] else "ok"
        method = f"{self.container.service_name}.{self.method_name}"
        rpc_handled_seconds.labels(method, outcome).observe(time.monotonic() - began)
        return self.handle_result(message, worker_ctx, result, exc_info)

    def _left_seconds(self, caller: str, deadline_ms: object, until: float) -> float:
        if not caller:  # which can be neither asked nor answered
            return 0.0
        if isinstance(deadline_ms, int):
            return self.rpc_consumer.callers.left_seconds(caller, deadline_ms, until)
        return until - time.monotonic()  # the previous version's clients


def _decode(message: Any) -> dict[str, Any]:
    try:
        require_readable(message)
        body = wire.decode(message.body)
    except (ValueError, TypeError, RecursionError) as error:
        log.warning("a request to %s cannot be read: %s", message.delivery_info["routing_key"], error)
        raise MalformedRequest(f"the request cannot be read: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("args"), list) or not isinstance(body.get("kwargs"), dict):
        raise MalformedRequest("Message missing `args` or `kwargs`")
    return body


def encoded_reply(result: Any, error: BaseException | None) -> bytes:
    """Return the reply with a method's result, or with the error that it raised."""
    try:
        reply = {"result": result if error is None else None, "error": _serialized(error)}
        return wire.encode(reply, iso)
    except (TypeError, ValueError) as unserializable:
        log.exception("a result cannot be written as JSON")
        wrong = {**serialize(unserializable), "exc_type": "UnserializableValueError"}
        return wire.encode({"result": None, "error": wrong})


def error_name(error: BaseException) -> str:
    """Return the name by which a caller sees an error."""
    known = ERROR_NAMES.get(kind_of(error), type(error).__name__)
    return str(getattr(error, "error_name", known))


def _serialized(error: BaseException | None) -> dict[str, Any] | None:
    """Return the error as nameko serializes it, but with the details of a DomainError left as they are.

    An error class may define `error_name`, the name that callers see, so that they need not tell its subclasses apart.
    Otherwise errors that are not bugs by the table of libs.errors get their names from ERROR_NAMES.
    """
    if error is None:
        return None
    serialized: dict[str, Any] = serialize(error)
    serialized["exc_type"] = error_name(error)
    if isinstance(error, DomainError) and error.details:  # pymongo's errors have details too, and those are no JSON
        serialized["exc_args"] = [str(error), error.details]
    return serialized


rpc = Rpc.decorator
