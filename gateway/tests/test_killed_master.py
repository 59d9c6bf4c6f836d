"""gunicorn's master is killed: its workers go with it, and the next one serves at once."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from dev.testing import wait_for
from gateway.tests.gunicorn_process import GunicornProcess


@pytest.fixture
def gunicorn(tmp_path):
    gunicorn = GunicornProcess(tmp_path / "log").start()
    began_at = time.monotonic()
    wait_for(gunicorn.serves, 60, "gunicorn")
    gunicorn.start_seconds = time.monotonic() - began_at
    yield gunicorn
    gunicorn.stop()


@pytest.fixture
def workers(gunicorn):
    """The workers of the first master; those left over end with the test."""
    workers = wait_for(lambda: len(gunicorn.workers) == 2 and gunicorn.workers, 10, "both workers")
    yield workers
    for pid in filter(runs, workers):
        os.kill(pid, signal.SIGKILL)


def runs(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for_an_answer(gunicorn):
    with suppress(requests.RequestException):
        gunicorn.get("/slow", timeout=30)


def test_site_is_back_within_five_seconds_after_the_master_is_killed(gunicorn, workers):
    for _ in range(8):
        threading.Thread(target=wait_for_an_answer, args=[gunicorn], daemon=True).start()
    os.kill(workers[0], signal.SIGSTOP)  # one that hangs, and so does not see that its parent is gone

    gunicorn.stop()
    gunicorn.start()
    wait_for(gunicorn.serves, max(5, 3 * gunicorn.start_seconds), "the next master to serve")

    assert not [pid for pid in workers if runs(pid)]
    assert "http_requests_total" in gunicorn.get("/metrics", gunicorn.metrics_port).text


def test_what_a_killed_master_counted_is_thrown_away_and_what_others_count_is_not(tmp_path):
    folders = tmp_path / "tmp"
    folders.mkdir()
    killed, living = (GunicornProcess(tmp_path / name, TMPDIR=str(folders)) for name in ("killed", "living"))
    try:
        wait_for(killed.start().serves, 60, "gunicorn")
        (left,) = folders.iterdir()
        wait_for(living.start().serves, 60, "the other gunicorn")
        (kept,) = set(folders.iterdir()) - {left}
        workers = killed.workers
        killed.stop()
        wait_for(lambda: not any(map(runs, workers)), what="its workers to end")

        wait_for(killed.start().serves, 60, "the next master to serve")

        assert kept.exists() and not left.exists()
    finally:
        killed.stop()
        living.stop()
