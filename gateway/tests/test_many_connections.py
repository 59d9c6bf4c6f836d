"""More connections to a real gunicorn than it accepts by default: of a rush, or of browsers that keep theirs open."""

import socket
from contextlib import ExitStack

import pytest

from dev.testing import wait_for
from gateway.tests.gunicorn_process import GunicornProcess
from libs.processes import allow_open_files

VISITORS = 2100  # gunicorn's default is 1,000 connections for each worker
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SOFT_LIMIT = 1024
"""How many files a process may open where nobody has changed it."""


@pytest.fixture
def gunicorn(tmp_path):
    patient = "--keep-alive 120"  # so that no connection of the test is closed for being idle
    gunicorn = GunicornProcess(tmp_path / "log", GUNICORN_CMD_ARGS=patient).start(open_files=SOFT_LIMIT)
    wait_for(gunicorn.serves, 60, "gunicorn")
    yield gunicorn
    gunicorn.stop()


def test_visitors_whose_browsers_keep_connections_open_lock_nobody_out(gunicorn):
    allow_open_files(VISITORS + 200)
    with ExitStack() as kept_open:
        for _ in range(VISITORS):
            visitor = kept_open.enter_context(socket.create_connection(("127.0.0.1", gunicorn.port), 10))
            visitor.sendall(REQUEST)
            assert visitor.recv(65_536).startswith(b"HTTP/1.1 200 OK")
