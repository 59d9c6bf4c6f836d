import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from libs.service import read_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def read(monkeypatch):
    """Return a function from YAML to what it says in this environment."""
    monkeypatch.setattr(yaml, "SafeLoader", type("SafeLoader", (yaml.SafeLoader,), {}))
    read_environment()
    return yaml.safe_load


def test_a_configuration_has_values_of_the_environment_as_they_are(read, monkeypatch):
    monkeypatch.setenv("NAME", "${OTHER:no} 010")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("ABSENT", raising=False)

    assert read("!raw_env_var ${NAME:default}") == "${OTHER:no} 010"
    assert read("!raw_env_var ${EMPTY:default}") == ""
    assert read("!raw_env_var ${ABSENT:http://localhost:8000}") == "http://localhost:8000"
    assert read("!raw_env_var ${ABSENT:}") == read("!raw_env_var ${ABSENT}") == ""


@pytest.mark.lengthy
def test_a_service_that_does_not_exist_fails_to_start(tmp_path):
    config = tmp_path / "config.yml"
    config.write_text("AMQP_URI: nowhere")

    command = [sys.executable, "-W", "ignore", "-m", "libs.service", str(config), "libs.no_such_service"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert ended.returncode == 1 and "libs.no_such_service" in ended.stderr
