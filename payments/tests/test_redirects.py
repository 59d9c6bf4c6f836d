import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from payments.card_provider import CardProvider
from payments.errors import StripeUnavailable

ASKED = []


class Redirecting(BaseHTTPRequestHandler):
    """Redirects whatever is asked for to the same server's /elsewhere."""

    def do_GET(self):
        ASKED.append(self.path)
        self.send_response(302)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def redirecting():
    with HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        ASKED.clear()
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_secret_key_follows_no_redirect_to_another_address(redirecting):
    provider = CardProvider("sk_test_x", f"http://127.0.0.1:{redirecting.server_port}")

    with pytest.raises(StripeUnavailable):
        provider.retrieve("pi_1")
    with pytest.raises(StripeUnavailable):
        provider.refund("pi_1")

    assert [path.partition("?")[0] for path in ASKED] == ["/v1/payment_intents/pi_1", "/v1/refunds"]
