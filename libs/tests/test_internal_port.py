import pytest
import requests

from dev.stack import free_ports
from dev.testing import wait_for
from libs import internal_port
from libs.errors import Unavailable


def away():
    raise Unavailable("it does not answer")


def answers_at_once():
    """Do nothing: this works."""


@pytest.fixture
def serving(monkeypatch):
    """Return a function that serves checks, and returns one that asks for a page."""

    def serve(*checks):
        port = free_ports().metrics
        monkeypatch.setenv("METRICS_PORT", str(port))
        internal_port.serve(*checks)
        return lambda page: requests.get(f"http://127.0.0.1:{port}{page}", timeout=5)

    return serve


def test_program_that_misses_what_it_needs_is_alive_but_not_ready_and_says_what_is_missing(serving):
    get = serving({"broker": answers_at_once, "database": away})

    assert get("/healthz").status_code == 200
    assert (get("/readyz").status_code, get("/readyz").json()) == (503, {"failed": ["database"]})


def test_program_is_ready_when_all_that_it_needs_answers(serving):
    assert serving({"broker": answers_at_once})("/readyz").status_code == 200


@pytest.mark.lengthy
def test_program_whose_loop_no_longer_turns_is_not_alive(serving):
    loop = internal_port.Loop(0.3)
    get = serving({"loop": loop.check}, {"loop": loop.check})

    assert get("/healthz").status_code == 200
    wait_for(lambda: get("/healthz").status_code == 503, 5)
    loop.turned()
    assert get("/healthz").status_code == 200


def test_program_that_answers_probes_elsewhere_has_metrics_here_and_no_readiness(serving):
    get = serving()

    assert get("/metrics").ok
    assert get("/readyz").status_code == 404
