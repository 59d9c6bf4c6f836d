"""supervisord, really running, with a program that only waits."""

import json
import os
import subprocess
import time
from dataclasses import replace

import pytest

from dev.stack import Stack, StackError
from dev.stack.supervisor import MARK, Program, Supervisor, members, wait_until

WAITS = Program("waits", ["sleep", "60"], lambda: True)


@pytest.mark.lengthy
def test_a_run_that_another_command_stops_ends_without_an_error(tmp_path):
    """`make stop` signalled supervisord again at its very end, so that `make run` took it for a crash."""
    (tmp_path / "logs").mkdir()
    supervisor = Supervisor(tmp_path)
    supervisor.start([WAITS], [])
    try:
        Supervisor(tmp_path).stop()

        assert supervisor.process.wait(5) == 0
    finally:
        supervisor.stop()


def test_a_supervisord_that_has_removed_its_pid_file_may_end_by_itself(tmp_path, monkeypatch):
    """A second `make stop` just then signalled it, so that `make run` took it for a crash."""
    monkeypatch.setattr("dev.stack.supervisor.END_SECONDS", 60)
    ending = subprocess.Popen(["sleep", "0.3"], env={**os.environ, MARK: str(tmp_path)})
    # by its environment, which can be read only a moment after Popen has returned
    assert wait_until(lambda: ending.pid in members(tmp_path) or ending.poll() is not None, 10)

    Supervisor(tmp_path).stop()

    assert ending.wait(5) == 0


@pytest.mark.lengthy
def test_supervisord_logs_in_the_format_of_every_program(tmp_path, monkeypatch):
    monkeypatch.setenv("LOG_FORMAT", "json")
    (tmp_path / "logs").mkdir()
    supervisor = Supervisor(tmp_path)
    try:
        supervisor.start([WAITS], [])
    finally:
        supervisor.stop()

    lines = [json.loads(line) for line in (tmp_path / "logs" / "supervisord.log").read_text().splitlines()]
    assert {tuple(each)[:5] for each in lines} == {("time", "level", "logger", "correlation_id", "message")}
    assert {(each["logger"], each["correlation_id"]) for each in lines} == {("supervisord", "")}
    assert any(each["message"].startswith("spawned: 'waits' with pid") for each in lines)


@pytest.mark.lengthy
def test_a_program_that_cannot_start_is_named_with_the_end_of_its_log_long_before_the_time_is_up(tmp_path):
    stack = Stack(tmp_path, environ={})
    (tmp_path / "logs").mkdir()
    refuses = Program("refuses", ["sh", "-c", "echo WINDOW is no number; exit 1"], lambda: False)
    stack.supervisor.start([WAITS, refuses], [])
    try:
        with pytest.raises(StackError) as error:
            stack._wait_for([WAITS, refuses], time.monotonic())
    finally:
        stack.supervisor.stop()

    assert str(error.value) == "refuses keeps ending. The end of its log:\nWINDOW is no number"


def test_every_program_that_is_not_ready_is_named_and_an_empty_log_is_said_to_be_empty(tmp_path, monkeypatch):
    stack = Stack(tmp_path, environ={})
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "silent.log").touch()
    (tmp_path / "logs" / "waits.log").write_text("asking auth\n")
    silent = replace(WAITS, name="silent")
    states = [{"name": name, "pid": 0, "stop": 0} for name in ("silent", "waits")]
    monkeypatch.setattr(stack.supervisor, "states", lambda: states)

    with pytest.raises(StackError) as error:
        stack._wait_for([silent, WAITS], time.monotonic() - stack.ready_seconds)

    first, second = "silent is not ready after 120 s. Its log is empty.", "waits is not ready after 120 s."
    assert str(error.value) == f"{first}\n{second} The end of its log:\nasking auth"


def test_a_program_may_end_twice_before_it_is_ready(tmp_path, monkeypatch):
    stack = Stack(tmp_path, environ={})
    seen = [(1, 0), (0, 6), (2, 6), (0, 9), (3, 9)]
    states = iter([{"name": "waits", "pid": pid, "stop": stop}] for pid, stop in seen for _ in range(2))
    monkeypatch.setattr(stack.supervisor, "states", lambda: next(states))
    tries = iter([False, False, True])

    stack._wait_for([replace(WAITS, is_ready=lambda: next(tries))], time.monotonic())

    assert next(tries, None) is None
