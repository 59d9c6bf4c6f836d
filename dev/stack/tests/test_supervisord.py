"""supervisord, really running, with a program that only waits."""

import json
import os
import subprocess

import pytest

from dev.stack.supervisor import MARK, Program, Supervisor

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


def test_a_supervisord_that_has_removed_its_pid_file_may_end_by_itself(tmp_path):
    """A second `make stop` just then signalled it, so that `make run` took it for a crash."""
    ending = subprocess.Popen(["sleep", "0.3"], env={**os.environ, MARK: str(tmp_path)})

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
