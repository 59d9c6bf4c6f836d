"""supervisord, really running, with a program that only waits."""

import json

import pytest

from dev.stack.program import Program
from dev.stack.supervisor import Supervisor

WAITS = Program("waits", ["sleep", "60"], lambda: True)


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
