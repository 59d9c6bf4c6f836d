"""The whole system under the supervisor."""

import requests

from dev.stack.ports import SERVE_METRICS


def test_killed_program_is_restarted(system):
    first = system.pid("orders")

    system.kill("orders")
    system.wait_ready("orders", 30)

    assert system.pid("orders") not in (0, first)


def test_stopped_program_stays_stopped_until_it_is_started(system):
    system.stop_program("fake-stripe")

    assert system.pid("fake-stripe") == 0

    system.start_program("fake-stripe")
    system.wait_ready("fake-stripe", 30)


def test_every_program_serves_its_metrics(system):
    for program in SERVE_METRICS:
        answer = requests.get(f"http://127.0.0.1:{system.ports.metrics_of(program)}/metrics", timeout=10)
        assert "http_requests" in answer.text or "process_cpu_seconds_total" in answer.text, program


def test_site_answers(system):
    assert requests.get(system.gateway_url, timeout=10).ok
