"""Serving the fake Stripe: on 127.0.0.1, or inside a container for the other ones; each request in its own thread."""

import threading
from collections.abc import Container, Iterator
from contextlib import closing, contextmanager

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dev.fake_stripe.app import create_app
from dev.fake_stripe.state import State
from dev.fake_stripe.webhooks import Webhooks

HOST = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside a container, where only other containers reach it


class _Handler(WSGIRequestHandler):
    disable_nagle_algorithm = True  # else a kept-alive connection waits 40 ms for each reply

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
        server.daemon_threads = True  # type: ignore[attr-defined]
        webhooks.start()
        try:
            yield server
        finally:
            server.server_close()
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
