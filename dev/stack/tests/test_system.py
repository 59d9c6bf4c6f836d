"""The whole system under the supervisor."""

import subprocess
import sys

import pytest
import requests

from dev.stack.ports import SERVE_METRICS
from dev.stack.programs import all_programs
from dev.stack.stack import StackError
from dev.testing import ROOT


def test_killed_program_is_restarted(system):
    first = system.pid("orders")

    system.kill("orders")
    system.wait_ready("orders", 30)

    assert system.pid("orders") not in (0, first)


def test_a_program_is_restarted_on_an_operators_command(system):
    first = system.pid("scheduler")

    system.restart("scheduler")
    system.wait_ready("scheduler", 30)

    assert system.pid("scheduler") not in (0, first)
    with pytest.raises(StackError, match="nobody is none of"):
        system.restart("nobody")


def test_stopped_program_stays_stopped_until_it_is_started(system):
    system.stop_program("fake-stripe")

    assert system.pid("fake-stripe") == 0

    system.start_program("fake-stripe")
    system.wait_ready("fake-stripe", 30)


def test_every_program_serves_its_metrics(system):
    for program in SERVE_METRICS:
        answer = requests.get(f"http://127.0.0.1:{system.ports.metrics_of(program)}/metrics", timeout=10)
        assert "http_requests" in answer.text or "process_cpu_seconds_total" in answer.text, program


def test_probe_of_every_program_says_that_it_is_alive_and_ready(system):
    for program in all_programs(system):
        for what in ((), ("ready",)):
            probe = [sys.executable, "-I", "-S", ROOT / "ops/health.py", program.name, *what]
            done = subprocess.run(probe, env=program.environment, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), program.name


def test_site_answers(system):
    assert requests.get(system.gateway_url, timeout=10).ok
