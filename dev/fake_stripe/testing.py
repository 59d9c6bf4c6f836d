"""For tests: a private fake Stripe, and a receiver of webhooks."""

import json
import queue
import threading
import urllib.request
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

from dev.fake_stripe.server import listening, serving

SECRET_KEY, PUBLISHABLE_KEY = "sk_test_fake", "pk_test_fake"
WEBHOOK_SECRET = "whsec_of_the_fake_stripe"  # noqa: S105 - of tests


@dataclass
class FakeStripe:
    """A running fake: its address, the real library's client for it, its ledger and controls."""

    url: str

    def client(self, key: str = SECRET_KEY, retries: int = 0) -> stripe.StripeClient:
        """Return a client of the real library that talks to this fake."""
        return stripe.StripeClient(key, base_addresses={"api": self.url}, max_network_retries=retries)

    def ledger(self, order_id: str | None = None) -> list[dict[str, Any]]:
        """Return the ledger (see `ledger.read`)."""
        entries: list[dict[str, Any]] = self.control(
            "ledger" + (f"?order_id={order_id}" if order_id else ""), method="GET"
        )
        return entries

    def requests(self) -> list[str]:
        """Return the requests to the API since the last reset, as "POST /v1/refunds"."""
        asked: list[str] = self.control("requests", method="GET")
        return asked

    def control(self, name: str, method: str = "POST", **body: Any) -> Any:
        """Use one of the controls that the package's docstring lists; raises HTTPError when it refuses."""
        data = None if method == "GET" else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/_control/{name}", data, headers, method=method)  # noqa: S310
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as reply:
            return json.load(reply)


@contextmanager
def running(
    webhook_url: str | None = None,
    state_path: str | None = None,
    port: int = 0,
    types: Container[str] | None = None,
) -> Iterator[FakeStripe]:
    """Run a fake Stripe in this process, on a free port; `types`: those of the webhooks it sends, None for all."""
    with listening(port, WEBHOOK_SECRET, webhook_url, state_path, types=types) as server, serving(server):
        yield FakeStripe(f"http://127.0.0.1:{server.port}")


@dataclass
class Receiver:
    """A receiver of webhooks: checks each signature, answers by `answers`, keeps the events as they arrive."""

    url: str = ""
    answers: Callable[[stripe.Event], int] = lambda event: 200
    arrived: "queue.Queue[stripe.Event]" = field(default_factory=queue.Queue)

    def wait_for(self, count: int, deadline: float = 5.0) -> list[str]:
        """Return the types of the next `count` events; raises queue.Empty when one does not come in time."""
        return [self.arrived.get(timeout=deadline).type for _ in range(count)]

    def forget(self) -> None:
        """Drop what arrived, and answer 200 again."""
        self.answers = lambda event: 200
        while not self.arrived.empty():
            self.arrived.get_nowait()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            event = stripe.Webhook.construct_event(body, self.headers["Stripe-Signature"], WEBHOOK_SECRET)
            receiver.arrived.put(event)
            self.send_response(receiver.answers(event))
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/webhooks"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
