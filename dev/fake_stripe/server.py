"""Serving the fake Stripe: on 127.0.0.1, or inside a container for the other ones; each request in its own thread."""

import io
import socket
import threading
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager, suppress

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app

from dev.fake_stripe.app import create_app
from dev.fake_stripe.state import State
from dev.fake_stripe.webhooks import Webhooks

HOST = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside a container, where only other containers reach it


class _Handler(WSGIRequestHandler):
    """Keeps connections, as Stripe does; werkzeug itself closes them, so as not to read requests to their end."""

    wbufsize = -1  # a response leaves in one packet

    disable_nagle_algorithm = True  # else a kept-alive connection waits 40 ms for each reply

    def setup(self) -> None:
        """Remember the connection, for when the server is closed."""
        super().setup()
        self.server.kept.add(self.connection)  # type: ignore[attr-defined]

    def finish(self) -> None:
        """Forget it again."""
        self.server.kept.discard(self.connection)  # type: ignore[attr-defined]
        super().finish()

    def run_wsgi(self) -> None:
        """Answer one request, read to its end."""
        environ = self.make_environ()
        environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        parts, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        body = b"".join(parts)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *args: object) -> None:
        """Log no requests: the ledger shows what happened."""


class PublicAddress(ValueError):
    """The fake Stripe is configured to listen where other machines could reach it."""


@contextmanager
def listening(
    port: int,
    webhook_secret: str,
    webhook_url: str | None = None,
    state_path: str | None = None,
    host: str = HOST,
    in_container: bool = False,
    types: Container[str] | None = None,
) -> Iterator[BaseWSGIServer]:
    """Bind, start sending webhooks, yield the server (its `port` and `serve_forever`), and close everything after.

    `types`: those of the events that are sent to the webhook's address, None for all.
    `in_container`: other containers may be callers and receive webhooks; the controls still answer this one alone.
    """
    if host != HOST and not in_container:
        raise PublicAddress(f"The fake Stripe listens on {HOST} only, not on {host}.")
    with closing(State(state_path)) as state:
        webhooks = Webhooks(state, webhook_url, webhook_secret, not in_container, types)
        server = make_server(host, port, create_app(state, webhooks), threaded=True, request_handler=_Handler)
        kept: set[socket.socket] = set()
        server.daemon_threads, server.kept = True, kept  # type: ignore[attr-defined]
        webhooks.start()
        try:
            yield server
        finally:
            server.server_close()
            for connection in list(kept):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            webhooks.stop()


@contextmanager
def serving(server: BaseWSGIServer) -> Iterator[None]:
    """Serve in a thread while the block runs."""
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="fake-stripe", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(5)
