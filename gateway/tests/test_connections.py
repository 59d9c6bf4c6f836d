"""Connections to a real gunicorn that stay open, as browsers and proxies keep theirs."""

import resource
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

from dev.testing import wait_for
from gateway.tests.gunicorn_process import GunicornProcess
from libs.processes import allow_open_files

VISITORS = 2100  # gunicorn's default is 1,000 connections for each worker
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
BUSY_CLIENTS = 8  # so many that each worker has some of them
TOO_LARGE = (
    b"POST /api/users/signin HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
)
UNREAD = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n" + bytes(100)
SOFT_LIMIT = "1024:"
"""How many files a process may open where nobody has changed it, unless it raises that; for prlimit."""


@contextmanager
def started(gunicorn, **options):
    gunicorn.start(**options)
    try:
        wait_for(gunicorn.serves, 60, "gunicorn")
        yield gunicorn
    finally:
        gunicorn.stop()


def connected(gunicorn):
    return socket.create_connection(("127.0.0.1", gunicorn.port), 10)


def is_listening(port):
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 10):
        return True
    return False


def is_answered(connection):
    connection.sendall(REQUEST)
    return connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")


@contextmanager
def clients_that_send(gunicorn, head, more):
    """Let some clients send `head` and then `more` again and again, as fast as they can, and ignore all responses."""

    def send():
        while not enough.is_set():
            with suppress(OSError), connected(gunicorn) as connection:
                threading.Thread(target=ignore, args=[connection], daemon=True).start()
                connection.sendall(head)
                while not enough.is_set():
                    connection.sendall(more)

    def ignore(connection):
        with suppress(OSError):
            while connection.recv(65_536):
                pass

    enough = threading.Event()
    clients = [threading.Thread(target=send) for _ in range(BUSY_CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        enough.set()
        for client in clients:
            client.join()


@pytest.fixture
def many_files():
    """Let this process open a file for each visitor."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    allow_open_files(VISITORS + 200)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_visitors_whose_browsers_keep_connections_open_lock_nobody_out(tmp_path, many_files):
    proxied = GunicornProcess(tmp_path / "log", GATEWAY_PROXIES="1")  # which closes no connection during the test
    with started(proxied, open_files=SOFT_LIMIT) as gunicorn, ExitStack() as kept_open:
        for _ in range(VISITORS):
            assert is_answered(kept_open.enter_context(connected(gunicorn)))


def test_a_request_that_a_proxy_sends_after_a_quiet_while_is_answered_on_the_same_connection(tmp_path):
    direct = GunicornProcess(tmp_path / "direct")
    proxied = GunicornProcess(tmp_path / "proxied", GATEWAY_PROXIES="1")
    with started(direct), started(proxied), ExitStack() as open_ones:
        of_browser, *of_proxy = (open_ones.enter_context(connected(each)) for each in (direct, proxied, proxied))
        for connection in (of_browser, *of_proxy):
            assert is_answered(connection)
        of_proxy[0].sendall(UNREAD)
        assert of_proxy[0].recv(65_536).startswith(b"HTTP/1.1 404 ")
        assert of_browser.recv(1) == b""  # closed after a while

        assert is_answered(of_proxy[0]) and is_answered(of_proxy[1])


def test_a_gateway_that_is_to_stop_waits_for_no_idle_connection_of_a_proxy(tmp_path):
    with started(GunicornProcess(tmp_path / "log", GATEWAY_PROXIES="1")) as gunicorn, connected(gunicorn) as idle:
        assert is_answered(idle)
        gunicorn.master.terminate()

        assert gunicorn.master.wait(20) == 0
    assert "graceful timeout" not in gunicorn.log.read_text()


def test_a_request_on_an_idle_connection_is_answered_though_the_gateway_is_to_stop(tmp_path):
    with started(GunicornProcess(tmp_path / "log", GATEWAY_PROXIES="1")) as gunicorn, connected(gunicorn) as idle:
        assert is_answered(idle)
        gunicorn.master.terminate()
        wait_for(lambda: not is_listening(gunicorn.port), what="the workers to stop")

        assert is_answered(idle)


def test_a_gateway_that_may_open_few_files_says_how_many_connections_it_accepts(tmp_path):
    with started(GunicornProcess(tmp_path / "log"), open_files="1024:1024") as gunicorn:
        assert "only 824 connections for each worker" in gunicorn.log.read_text()


@pytest.mark.parametrize(
    ("head", "more"),
    [
        pytest.param(b"", REQUEST * 100, id="requests-without-waiting"),
        pytest.param(TOO_LARGE % 10**12 + b"\r\n", bytes(262_144), id="an-upload-that-is-too-large"),
        pytest.param(
            REQUEST[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
            b"10000\r\n" + bytes(65_536) + b"\r\n",
            id="a-body-that-nobody-reads",
        ),
    ],
)
def test_a_few_clients_that_send_as_fast_as_they_can_hold_nobody_up(tmp_path, head, more):
    with started(GunicornProcess(tmp_path / "log")) as gunicorn, clients_that_send(gunicorn, head, more):
        for _ in range(10 * BUSY_CLIENTS):
            with connected(gunicorn) as visitor:
                assert is_answered(visitor)


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("pause", [0, 0.15], ids=["quickly", "slowly"])
def test_who_sends_too_much_is_told_so_and_the_connection_is_closed(tmp_path, last, pause):
    piece, count = bytes(128 * 1024), 32
    with started(GunicornProcess(tmp_path / "log")) as gunicorn, connected(gunicorn) as client:
        client.sendall(TOO_LARGE % (count * len(piece)) + last + b"\r\n")
        for _ in range(count):
            client.sendall(piece)
            time.sleep(pause)
        answer = b"".join(iter(lambda: client.recv(65_536), b""))

    assert answer.startswith(b"HTTP/1.1 413 ") and b"the limit is" in answer
    assert b"\r\nConnection: close\r\n" in answer
