import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dev.testing import ROOT
from payments.card_provider import CardProvider

CALLERS = set()


class Accepting(BaseHTTPRequestHandler):
    """Answers every request, and notes from which connection it came."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        CALLERS.add(self.client_address)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def accepting():
    with ThreadingHTTPServer(("127.0.0.1", 0), Accepting) as server:
        server.daemon_threads = True
        CALLERS.clear()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def test_calls_one_after_the_other_use_one_connection_to_stripe(accepting):
    provider = CardProvider("sk_test_x", f"http://127.0.0.1:{accepting.server_port}")

    for _ in range(3):
        call = threading.Thread(target=provider.refund, args=("pi_1",))
        call.start()
        call.join()

    assert len(CALLERS) == 1


DRIP = """
from libs import monkey

monkey.patch()
import socket, threading, time
from payments import card_provider

card_provider.TIMEOUT_SECONDS = 0.5
server = socket.create_server(("127.0.0.1", 0))

def drip():
    connection, _ = server.accept()
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 100000\\r\\n\\r\\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)

threading.Thread(target=drip, daemon=True).start()
try:
    card_provider.CardProvider("sk_test_x", f"http://127.0.0.1:{server.getsockname()[1]}").cancel("pi_1")
except card_provider.StripeUnavailable as error:
    print("timed out" in str(error))
"""


def test_an_answer_that_stripe_sends_byte_by_byte_is_not_awaited():
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIP], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert ended.stdout == "True\n", ended.stderr
