"""gunicorn's worker: connections are served in turn, and the application answers requests that cannot be read."""

import io
import re
import socket
import sys
import time
from contextlib import suppress
from typing import Any

import gevent
from gevent.server import StreamServer
from gevent.socket import wait_read
from gunicorn.http import message, parser, wsgi
from gunicorn.http.errors import (
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers import ggevent
from gunicorn.workers.ggevent import GeventWorker

from gateway.settings import idle_seconds
from libs.threads import let_others_run

STATUSES = {LimitRequestLine: 414, LimitRequestHeaders: 431, ExpectationFailed: 417, UnsupportedTransferCoding: 501}
API = re.compile(rb"((?i:https?)://[^/?]*)?/api(?![\w.~%-])")
"""How the targets of requests for the API begin; to a proxy, and to any server, they may name the host."""
LINGER_SECONDS = 10
MOST_HEAD_BYTES = 32 * 1024
"""The most of a request line and headers together, as nginx by default (large_client_header_buffers: four of 8 kB)."""
IGNORED_BYTES = 64 * 1024
"""How much of a body that the application has not read is discarded to keep the connection."""
NOTIFY_SECONDS = 1.0
"""How often gunicorn's gevent worker notifies its master."""
LOGGED_CHARACTERS = 200


class UnreadableRequest(Exception):
    """A request whose line or headers cannot be read: why, and whether it is for the API."""

    def __init__(self, error: ParseException, *, is_api: bool) -> None:
        super().__init__(str(error)[:LOGGED_CHARACTERS])
        self.status = STATUSES.get(type(error), 400)
        self.is_api = is_api


class Request(message.Request):
    """A request that raises UnreadableRequest when it cannot be read."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._received: bytearray | None = None
        self._received_bytes = 0
        try:
            super().__init__(*arguments, **options)
        except ParseException as error:
            raise UnreadableRequest(error, is_api=self._is_api()) from error

    def read_into(self, unreader: Any, buf: bytearray, stop: bool = False) -> None:
        """Keep the bytes from the request line on; gunicorn appends to them. Raise LimitRequestHeaders if too long."""
        if self._received is None:
            self._received = buf
        before = len(buf)
        super().read_into(unreader, buf, stop)
        self._received_bytes += len(buf) - before
        if self._received_bytes > MOST_HEAD_BYTES:
            raise LimitRequestHeaders("the headers are too long together")

    def _is_api(self) -> bool:
        words = bytes(self._received or b"").split(b"\r\n", 1)[0].split(b" ")
        return len(words) > 1 and API.match(words[1]) is not None


class Unreader(SocketUnreader):
    """Yields to other connections at each receive: gevent would serve one alone for as long as more comes on it."""

    def chunk(self, size_hint: int | None = None) -> Any:
        """Return what comes next, at most 8 KiB: gunicorn copies the rest for each chunk of a body; b"" at the end."""
        wait_read(self.sock.fileno())
        return super().chunk()


class Response(wsgi.Response):
    """A response whose head leaves together with the beginning of its body: each packet wakes the other end."""

    sock: Any
    req: Any

    def should_close(self) -> bool:
        """Return whether the connection is closed afterwards, as the head announces: also if much of a body is left."""
        left = _left(self.req.body)
        return left is None or left > IGNORED_BYTES or super().should_close()

    def write(self, arg: bytes) -> None:
        """Send a part of the body, with the head if that was not sent yet."""
        if self.headers_sent:
            super().write(arg)
            return
        connection, self.sock = self.sock, _Buffer()
        try:
            super().write(arg)
        finally:
            buffer, self.sock = self.sock, connection
        connection.sendall(buffer.content)


class _Buffer:
    """A socket that buffers what is sent."""

    content = b""

    def sendall(self, sent: bytes) -> None:
        self.content += sent


class Server(StreamServer):
    """A server that closes its listening socket once it has accepted all connections: those left would be reset."""

    def close(self) -> None:
        """Stop, and handle what is accepted; doing it again changes nothing."""
        if self.closed:
            return
        self.stop_accepting()
        with suppress(OSError):  # such as that of a client that has gone already
            while not self.full() and (accepted := self.do_read()):
                self.do_handle(*accepted)
        super().close()


class _Listener:
    """The part of the listening socket that a connection's handler uses, as the socket may be closed by then."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def getsockname(self) -> Any:
        return self._name


class Worker(GeventWorker):
    """gunicorn's gevent worker, with errors of our own."""

    wsgi: Any

    def init_process(self) -> None:
        """Read requests and write responses as above."""
        parser.RequestParser.mesg_class = Request
        parser.SocketUnreader = Unreader
        wsgi.Response = Response
        ggevent.StreamServer = Server
        self._notified_at = time.monotonic()
        self._idle_seconds = idle_seconds()
        self._idle: dict[gevent.Timeout, gevent.Greenlet] = {}
        super().init_process()

    def run(self) -> None:
        """Serve until the master stops it, then finish what was begun."""
        self._listeners = {listener: _Listener(listener.getsockname()) for listener in self.sockets}
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Handle a connection; gunicorn would reset one that was accepted just before its listener was closed."""
        super().handle(self._listeners[listener], client, addr)

    def load_wsgi(self) -> None:
        """Put admission control in front of the application."""
        super().load_wsgi()
        from gateway.admission import AdmissionControl  # only now: see below

        self._application, self.wsgi = self.wsgi, AdmissionControl(self.wsgi)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer a request; then wait until the next one comes, as long as a proxy's connection may be idle.

        After that, or for a browser at once, gunicorn waits for another `keepalive`, by when it must be there. One that
        has been sent already (pipelining) waits until the other connections have had their turn.
        """
        try:
            super().handle_request(listener_name, req, sock, addr)
        except StopIteration:  # the connection is to be closed
            if _left(req.body) != 0:
                _linger(req.unreader)
            raise
        if left := _left(req.body):
            with self.timeout_ctx():
                req.body.read(left)
        if req.unreader.buf.getvalue():
            let_others_run()
        elif self._idle_seconds and self.alive:
            with gevent.Timeout(self._idle_seconds, False) as limit:
                self._idle[limit] = gevent.getcurrent()
                try:
                    wait_read(sock.fileno())
                finally:
                    del self._idle[limit]

    def notify(self) -> None:
        """Notify the master each second that the loop turns, and note how late this was.

        Once the worker is to stop, no connection is idle for longer than `keepalive`.
        """
        super().notify()
        if not self.alive:
            for limit in self._idle:
                gevent.get_hub().loop.run_callback(self._end_wait, limit)
        from libs.metrics import event_loop_lag_seconds  # only now: see below

        now = time.monotonic()
        event_loop_lag_seconds.set(max(0.0, now - self._notified_at - NOTIFY_SECONDS))
        self._notified_at = now

    def _end_wait(self, limit: gevent.Timeout) -> None:
        """End the wait that has this limit, unless it has ended; called from the event loop."""
        if greenlet := self._idle.get(limit):
            greenlet.throw(limit)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that cannot be read, and close the connection."""
        if isinstance(exc, UnreadableRequest):
            self.log.warning("refused a request of %s with %s: %s", addr[0], exc.status, exc)
            with suppress(OSError):
                client.sendall(self._answer(exc, addr))
                _linger(Unreader(client))
        elif isinstance(exc, ParseException) and not isinstance(exc, InvalidResponseHeader | InvalidResponseHeaderName):
            self.log.debug("The body of an answered request cannot be read: %s", exc)
        else:
            super().handle_error(req, client, addr, exc)

    def _answer(self, unreadable: UnreadableRequest, addr: Any) -> bytes:
        """Return the application's response."""
        from gateway.errors import UNREADABLE  # only now: gevent patches before the application is imported

        hosts = self._application.config["TRUSTED_HOSTS"] or ["localhost"]
        environ = {
            UNREADABLE: unreadable.status,
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/api/" if unreadable.is_api else "/",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": addr[0],
            "HTTP_HOST": hosts[0].lstrip("."),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        head = []

        def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> None:
            head.append(f"HTTP/1.1 {status}")
            head.extend(f"{name}: {value}" for name, value in [*headers, ("Connection", "close")])

        body = b"".join(self._application(environ, start_response))
        return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def _left(body: Any) -> int | None:
    """Return how many bytes of a body the application has not read; None if that is unknown."""
    if body.failed or getattr(body.reader, "parser", None):  # that of a chunked one, until its end
        return None
    left: int = getattr(body.reader, "length", 0)
    return left


def _linger(unreader: Unreader) -> None:
    """Read the rest of the request: closing before that would reset the connection, and lose the response."""
    with suppress(OSError), gevent.Timeout(LINGER_SECONDS, False):
        unreader.sock.shutdown(socket.SHUT_WR)
        while unreader.chunk():
            pass
