"""One multiplexing RPC client per process: many calls at once over two connections, each call with a deadline.

Replies arrive in one exclusive queue, read by a thread of the client, through an exchange that only the owner may read
(`libs.rpc.topology`); requests are sent over a second connection. Requests are transient and expire in the queue at
their deadline; a service that may have received one too late asks for the time on the caller's clock before it begins
(`libs.rpc.deadlines`). Works with threads, gevent and eventlet; it connects on the first call, so that it may be
created before a fork.
"""

import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from amqp import spec
from amqp.exceptions import AccessRefused
from kombu import Connection

from libs import context, tracing, wire
from libs.amqp.connection import BLOCKED, SHORTEST_SECONDS, SILENCE_SECONDS, connect, connected, discard
from libs.amqp.raw_messages import require_readable
from libs.errors import Unavailable, is_unavailable, log_failure
from libs.metrics import rpc_call_seconds
from libs.rpc.deadlines import ASKS_CLOCK, MARGIN_SECONDS, clock_ms
from libs.rpc.topology import RPC_EXCHANGE, declare_replies, is_reply_key, new_reply_queue
from libs.settings import verify_seconds
from libs.tokens import Signer

log = logging.getLogger(__name__)

CONNECT_SECONDS = 2.0
HEARTBEAT_SECONDS = 20
POLL_SECONDS = 5.0
RETURN_CHECK_SECONDS = 0.05
CLOSED = "the client was closed"
NO_METHOD = "no_method"
"""A method that no service has: calling it shows whether a service answers, and occupies no worker."""


class RemoteError(Exception):
    """The service answered with an error: its name, a message, and details for the caller."""

    def __init__(self, name: str, message: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = self.traced_as = name
        self.message = message
        self.details = details or {}


class ServiceUnavailable(Unavailable):
    """No answer in time, no such service, or no broker; a command may or may not have been carried out.

    `is_reply`: the service itself replied that something which it needs is unavailable.
    """

    def __init__(self, *arguments: object, is_reply: bool = False) -> None:
        super().__init__(*arguments)
        self.is_reply = is_reply


class _Waiter:
    def __init__(self, is_query: bool) -> None:
        self.is_query = is_query
        self.done = threading.Event()
        self.reply: dict[str, Any] | None = None
        self.problem = ""

    def fail(self, problem: str) -> None:
        self.problem = problem
        self.done.set()


class Client:
    """Calls methods of services, with the rights of `owner` at the broker: a part, or an operator.

    `timeout`: seconds that a call may take unless it has its own.
    """

    def __init__(self, amqp_url: str, owner: str, timeout: float = 5.0) -> None:
        self.amqp_url = amqp_url
        self.owner = owner
        self.timeout = timeout
        self._waiting: dict[str, _Waiter] = {}
        self._lock = threading.Lock()  # guards the sending connection
        self._start = threading.Lock()
        self._sender: Connection | None = None
        self._channel: Any = None
        self._is_blocked = False  # while the broker is short of memory or disk, what is sent waits without expiring
        self._is_doubtful = False  # whether what is sent over the channel arrives: a call remained unanswered
        self._opened_by = 0.0  # when the broker will have opened the channel, unless it hangs
        self._reply_to = ""
        self._questions: list[Any] = []
        self._ready = threading.Event()
        self._cause = ""  # why answers could not arrive last
        self._thread: threading.Thread | None = None
        self._receiver: Connection | None = None
        self._closed = False
        self._verify_at = 0.0

    def call(
        self,
        service: str,
        method: str,
        arguments: dict[str, Any] | None = None,
        *,
        token: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Return what `service.method(**arguments)` returns.

        Raises RemoteError when it answered with an error, ServiceUnavailable when it did not answer within `timeout`
        seconds, or within the time left to the current work; after that the service will not begin the call. `token`
        identifies the caller.
        """
        return self._observed(f"{service}.{method}", arguments, token, timeout, is_query=False)

    def query(
        self,
        service: str,
        method: str,
        arguments: dict[str, Any] | None = None,
        *,
        token: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Like `call`, for methods that change nothing: retried once if it fails before half its time is up."""
        name, started, limit = f"{service}.{method}", time.monotonic(), timeout or self.timeout
        try:
            return self._observed(name, arguments, token, limit, is_query=True)
        except ServiceUnavailable:
            left = limit - (time.monotonic() - started)
            if left < limit / 2:
                raise
            time.sleep(0.1)
            return self._observed(name, arguments, token, left, is_query=True)

    def connect(self, timeout: float) -> None:
        """Return once answers can arrive; raise ServiceUnavailable with the cause if they cannot within `timeout`."""
        self._listen(time.monotonic() + timeout)

    def ping(self, service: str, timeout: float) -> None:
        """Return once `service` has answered; raise ServiceUnavailable when it does not within `timeout` seconds."""
        with suppress(RemoteError):  # it answers that there is no such method
            try:
                self.call(service, NO_METHOD, timeout=timeout)
            except ServiceUnavailable as error:
                raise ServiceUnavailable(str(error).replace(f".{NO_METHOD}", "", 1)) from error

    def close(self) -> None:
        """Close both connections; calls in flight fail."""
        self._closed = True
        with self._lock:
            self._drop_sender()
        self._fail(CLOSED, lambda waiter: True)
        if self._receiver is not None:
            with suppress(Exception):  # it may be closed already
                self._receiver.connection.transport.sock.shutdown(socket.SHUT_RD)
        if self._thread is not None:
            self._thread.join(3)

    def _observed(
        self,
        name: str,
        arguments: dict[str, Any] | None,
        token: str | None,
        timeout: float | None,
        is_query: bool,
    ) -> Any:
        started, outcome = time.monotonic(), "unavailable"
        limit = context.remaining_seconds(self.timeout if timeout is None else timeout)
        if limit <= 0:
            raise ServiceUnavailable(f"no time is left to call {name}")
        try:
            with tracing.client_span(name, {"rpc.system.name": "nameko", "rpc.method": name}):
                result = self._call(name, arguments or {}, token, started + limit, is_query)
            outcome = "ok"
            return result
        except RemoteError:
            outcome = "error"
            raise
        finally:
            rpc_call_seconds.labels(name, outcome).observe(time.monotonic() - started)

    def _call(
        self,
        name: str,
        arguments: dict[str, Any],
        token: str | None,
        deadline: float,
        is_query: bool,
    ) -> Any:
        margin = min(MARGIN_SECONDS, (deadline - time.monotonic()) / 10)
        self._listen(deadline)
        ident, waiter = uuid.uuid4().hex, _Waiter(is_query)
        self._waiting[ident] = waiter
        try:
            headers = {"nameko.correlation_id": context.correlation_id() or ident}
            if token is not None:
                headers["nameko.token"] = token
            if client := context.client():
                headers["nameko.client"] = client
            if traceparent := tracing.traceparent():
                headers[tracing.HEADER] = traceparent
            self._send(name, ident, arguments, headers, deadline - margin)
            self._wait(waiter, deadline)
        finally:
            self._waiting.pop(ident, None)
        if waiter.reply is None:
            if not waiter.problem:
                self._verify_at = 0.0  # the binding of the queue of replies may be gone
                self._is_doubtful = True
            late = f"no answer in time: {BLOCKED}" if self._is_blocked else "no answer in time"
            raise ServiceUnavailable(f"{name}: {waiter.problem or late}")
        return result_of(waiter.reply, name)

    # the sending side

    def _send(self, key: str, ident: str, arguments: dict[str, Any], headers: dict[str, Any], deadline: float) -> None:
        body = wire.encode({"args": [], "kwargs": arguments})
        for last in (False, True):  # a connection that had been idle may have died: a fresh one is tried once
            left = deadline - time.monotonic()
            if left <= 0 or not self._lock.acquire(timeout=left):
                raise ServiceUnavailable(f"{key} could not be sent in time")
            try:
                fresh = self._channel is None
                channel = self._open_sender(deadline)
                if self._is_blocked:
                    self._read_sender()
                if self._is_blocked:
                    raise ServiceUnavailable(f"{key} was not sent: {BLOCKED}")
                if self._is_doubtful:
                    channel = self._renew_channel(deadline)
                shown = clock_ms()  # first, so that a pause before the next line makes the deadline earlier, not later
                left_ms = max(1, int((deadline - time.monotonic()) * 1000))
                message = channel.prepare_message(
                    body,
                    content_type="application/json",
                    content_encoding="utf-8",
                    headers={**headers, "nameko.timeout_ms": left_ms, "nameko.deadline_ms": shown + left_ms},
                    properties={
                        "reply_to": self._reply_to,
                        "correlation_id": ident,
                        "delivery_mode": 1,
                        "expiration": str(left_ms),
                    },
                )
                channel.basic_publish(message, RPC_EXCHANGE.name, key, mandatory=True, timeout=_most(deadline))
                return
            except ServiceUnavailable:
                raise
            except Exception as error:
                self._drop_sender()
                if not is_unavailable(error):
                    raise
                if last or fresh:
                    raise ServiceUnavailable(f"{key} could not be sent: {error}") from error
            finally:
                self._lock.release()

    def _open_sender(self, deadline: float) -> Any:
        if self._closed:
            raise ServiceUnavailable(CLOSED)
        if self._channel is None:
            left = max(deadline - time.monotonic(), SHORTEST_SECONDS)
            self._sender = connect(self.amqp_url, connect_seconds=CONNECT_SECONDS, seconds=left)
            broker = self._sender.connection
            broker.on_blocked, broker.on_unblocked = self._blocked, self._unblocked
            self._is_blocked = False
            self._open_channel(broker)
        return self._channel

    def _open_channel(self, broker: Any) -> None:
        """Open a channel and use it at once: `_read_sender` reads later that it is open."""
        self._channel, self._is_doubtful = broker.Channel(broker), False
        self._channel.events["basic_return"].add(self._returned)
        self._channel.send_method(spec.Channel.Open, "s", ("",))
        self._opened_by = time.monotonic() + SILENCE_SECONDS

    def _renew_channel(self, deadline: float) -> Any:
        """Send over another channel of the same connection; raise TimeoutError if the broker has not opened the last.

        It waits for no answer, for others wait for the lock; what the last channel returns is read until it is closed.

        A channel that sends to a quorum queue for the first time while its leader's node is dead, and no other is
        chosen, asks that node about each message until it is back, and drops all of them (RabbitMQ 3.10,
        `rabbit_fifo_client.erl`, `enqueue`).
        """
        self._read_sender()
        last = self._channel
        if last.is_open:
            with last.connection.transport.having_timeout(_most(deadline)):
                self._open_channel(last.connection)
                last.send_method(spec.Channel.Close, "BsBB", (0, "", 0, 0))
        elif time.monotonic() > self._opened_by:
            raise TimeoutError("the broker does not respond")
        return self._channel

    def _blocked(self, reason: str) -> None:
        log.warning("rpc: the broker blocks publishers")
        self._is_blocked = True

    def _unblocked(self) -> None:
        self._is_blocked = False

    def _drop_sender(self) -> None:
        sender, self._sender, self._channel = self._sender, None, None
        discard(sender)

    def _returned(self, error: Exception, exchange: str, routing_key: str, message: Any) -> None:
        waiter = self._waiting.get(message.properties.get("correlation_id"))
        if waiter:
            waiter.fail("there is no such service")

    def _wait(self, waiter: _Waiter, deadline: float) -> None:
        pause = RETURN_CHECK_SECONDS
        while (left := deadline - time.monotonic()) > 0 and not waiter.done.wait(min(pause, left)):
            self._read_returns()  # nothing else reads the sending connection
            pause *= 2

    def _read_returns(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._read_sender()
            except Exception as error:
                self._drop_sender()
                if not is_unavailable(error):
                    raise
            finally:
                self._lock.release()

    def _read_sender(self) -> None:
        with suppress(TimeoutError):
            while self._sender is not None:
                self._sender.drain_events(timeout=SHORTEST_SECONDS)

    # the receiving side

    def _listen(self, deadline: float) -> None:
        if self._closed:
            raise ServiceUnavailable(CLOSED)
        with self._start:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._receive, name="rpc-replies", daemon=True)
                self._thread.start()
        if not self._ready.wait(max(0.0, min(deadline - time.monotonic(), 2 * CONNECT_SECONDS))):
            raise ServiceUnavailable(f"the broker is unreachable{self._cause}")

    def _receive(self) -> None:
        pause = 0.2
        while not self._closed:
            try:
                with connected(self.amqp_url, HEARTBEAT_SECONDS, CONNECT_SECONDS) as connection:
                    self._receiver = connection
                    self._consume(connection)
                    pause = 0.2
            except Exception as error:  # noqa: BLE001 - without this thread no call would ever be answered
                self._cause = f": {error}"
                # a command may begin yet, so its caller waits until it cannot
                self._fail(f"the connection to the broker was lost: {error}", lambda waiter: waiter.is_query)
                if not self._closed:
                    log_failure(log, error, "rpc: replies cannot be received")
                time.sleep(pause)
                pause = min(pause * 2, 2.0)

    def _consume(self, connection: Connection) -> None:
        channel, own = connection.channel(), connection.channel()
        queue = new_reply_queue(self.owner)
        with connection.Consumer([queue], channel=channel, on_message=self._received):
            declare_replies(channel, self.owner)
            self._reply_to, self._questions = queue.name, []
            self._ready.set()
            self._verify_at = time.monotonic() + verify_seconds()
            while not self._closed:
                if time.monotonic() >= self._verify_at:
                    queue(channel).declare()
                    declare_replies(channel, self.owner)
                    self._verify_at = time.monotonic() + verify_seconds()
                self._send_clock(own)  # after that, for some ask while it is declared
                self._drain(connection)
                connection.heartbeat_check(rate=2)

    def _drain(self, connection: Connection) -> None:
        """Wait some seconds for messages; the broker closes a channel that publishes without permission."""
        try:
            connection.drain_events(timeout=min(POLL_SECONDS, max(self._verify_at - time.monotonic(), 0.01)))
        except TimeoutError:
            pass
        except AccessRefused as error:  # py-amqp has opened a new channel
            if error.method_sig != spec.Basic.Publish:
                raise
            log.warning("a question about our clock cannot be answered: %s", error)

    def _received(self, message: Any) -> None:
        if message.properties.get("type") == ASKS_CLOCK:
            self._questions.append(message)
        else:
            self._reply(message)

    def _send_clock(self, channel: Any) -> None:
        """Answer the services that ask for our clock, over a channel for that alone."""
        while self._questions:
            question = self._questions.pop().properties
            key = question.get("reply_to")
            if not is_reply_key(key):
                log.warning("a question about our clock cannot be answered: it names no reply key")
                continue
            about = {"correlation_id": question.get("correlation_id"), "delivery_mode": 1}
            answer = channel.prepare_message(str(clock_ms()).encode(), properties=about)
            channel.basic_publish(answer, RPC_EXCHANGE.name, key, timeout=CONNECT_SECONDS)

    def _reply(self, message: Any) -> None:
        waiter = self._waiting.get(message.properties.get("correlation_id"))
        if waiter is not None:
            try:
                waiter.reply = _decoded(message)
            except (ValueError, RecursionError) as error:
                waiter.problem = f"the answer cannot be read: {error}"
            waiter.done.set()

    def _fail(self, problem: str, at_once: Callable[[_Waiter], bool]) -> None:
        """Let calls in flight fail with `problem`, those chosen `at_once` and the others at their deadline."""
        self._ready.clear()
        for waiter in list(self._waiting.values()):
            waiter.problem = problem
            if at_once(waiter):
                waiter.done.set()


@contextmanager
def own_token(signer: Signer, service: str) -> Iterator[str]:
    """Yield a token to call a service in a part's own name; raise ServiceUnavailable if it is refused.

    That is no fault of the user for whom the part works.
    """
    try:
        yield signer.mint_service(service)
    except RemoteError as error:
        if error.name != "Unauthenticated":
            raise
        raise ServiceUnavailable(f"the token of {signer.name} is refused: do keys and clocks agree? {error}") from error


def _most(deadline: float) -> float:
    """Return how many seconds sending may take, to end by a deadline."""
    return max(SHORTEST_SECONDS, min(CONNECT_SECONDS, deadline - time.monotonic()))


def _decoded(message: Any) -> dict[str, Any]:
    """Return the reply in a message; raise ValueError or RecursionError when it is none."""
    require_readable(message)
    reply = wire.decode(message.body)
    error = reply.get("error") if isinstance(reply, dict) else ""
    if error is not None and not (isinstance(error, dict) and isinstance(error.get("exc_type"), str)):
        raise ValueError("it is neither a result nor an error")
    return reply


def result_of(reply: dict[str, Any], name: str) -> Any:
    """Return the result in a reply to the call `name`; raise RemoteError or ServiceUnavailable if it is an error."""
    error = reply.get("error")
    if error is None:
        return reply.get("result")
    given = error.get("exc_args")
    arguments = given if isinstance(given, list) else []
    details = next((argument for argument in arguments if isinstance(argument, dict)), None)
    message = next((argument for argument in arguments if isinstance(argument, str)), error.get("value") or "")
    if error["exc_type"] == "ServiceUnavailable":
        raise ServiceUnavailable(f"{name}: {message}", is_reply=True)
    raise RemoteError(error["exc_type"], message, details)
