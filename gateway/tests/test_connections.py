"""Connections to a real gunicorn that stay open, as browsers and proxies keep theirs."""

import resource
import socket
from contextlib import ExitStack, contextmanager, suppress

import pytest

from dev.testing import wait_for
from gateway.tests.gunicorn_process import GunicornProcess
from libs.processes import allow_open_files

VISITORS = 2100  # gunicorn's default is 1,000 connections for each worker
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
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
    with started(direct), started(proxied), connected(proxied) as of_proxy, connected(direct) as of_browser:
        assert is_answered(of_proxy) and is_answered(of_browser)
        assert of_browser.recv(1) == b""  # closed after a while

        assert is_answered(of_proxy)


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
