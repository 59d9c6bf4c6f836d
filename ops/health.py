"""Whether a program in this container works: `python -I -S ops/health.py PROGRAM [ready]`; exit code 0: it does.

It is alive while its event loop responds, even without the broker, a database or another service: restarting it would
not help. With `ready`, it must also be able to do its work: a service reads its database and answers a call through the
broker, the gateway gets an answer through it, the worker and the scheduler are registered in Redis.

The program reports that itself (`libs/internal_port.py`). As a probe runs every few seconds, this file imports none of
our libraries, and so starts in a twentieth of the time.
"""

import os
import socket
import sys

SECONDS = 8
HOST = "127.0.0.1"
SERVED = {"gateway": ("GATEWAY_PORT", "8000"), "fake-stripe": ("FAKE_STRIPE_PORT", "12111")}
"""The ports of programs that answer probes on the port that they serve; others do on their internal port."""
INTERNAL = ("METRICS_PORT", "")
PAGES = {"fake-stripe": ("/v3/", "/v3/")}


def main(program: str, what: str = "alive") -> None:
    """Check `program`; end with a message and code 1 when it does not work."""
    name, default = SERVED.get(program, INTERNAL)
    page = PAGES.get(program, ("/healthz", "/readyz"))[what == "ready"]
    try:
        port = int(os.environ.get(name) or default)
    except ValueError:
        sys.exit(f"{name} is not the number of a port")
    try:
        answer = get(port, page)
    except OSError as error:
        sys.exit(f"{program} does not answer: {error}")
    if answer.split(b" ", 2)[1:2] != [b"200"]:
        sys.exit(f"{program} does not work: {answer.decode(errors='replace').rpartition(chr(10))[2]}")


def get(port: int, page: str) -> bytes:
    """Return the response of the program that listens on `port`; raise OSError without one."""
    with socket.create_connection((HOST, port), SECONDS) as connection:
        connection.sendall(f"GET {page} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        answer = b""
        while received := connection.recv(65536):
            answer += received
    return answer


if __name__ == "__main__":
    main(*sys.argv[1:])
