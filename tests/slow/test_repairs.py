"""Symptoms of docs/operations.md that a restart repairs: a program hangs, and the commands of the page end that."""

import os
import shlex
import signal
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from conftest import SETTINGS
from dev.stack import Stack, free_ports
from dev.stack.operators import own_key
from dev.testing import stack_folder, wait_for
from ops.shell.names import names
from ops.shell.operator_client import open_operator_client
from tests.e2e import invariants
from tests.e2e.people import Person, Sessions
from tests.test_operations import kinds, run

pytestmark = pytest.mark.integration

HANGING = {
    "A service does not answer": ("payments", "a service does not answer"),
    "Redis does not answer": ("redis", "Redis does not answer"),
    "RabbitMQ does not answer": ("rabbitmq", "RabbitMQ does not answer"),
    "MongoDB does not answer": ("mongo", "MongoDB does not answer"),
}


@pytest.fixture(scope="module")
def system():
    with stack_folder() as folder, Stack(folder, free_ports(), environ=SETTINGS) as system:
        yield system


@pytest.fixture
def terminal(system, monkeypatch):
    """What `make shell` gives an operator of a running system, who says yes."""
    own_key(system, "olga")
    command = [sys.executable, "-m", "dev.stack", "--folder", system.folder, "env", "olga"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in printed.splitlines():
        monkeypatch.setenv(*shlex.split(line)[1].split("=", 1))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda: "y")
    client = open_operator_client()
    with closing(client._client):
        yield SimpleNamespace(shell=names(client))


@pytest.mark.parametrize("symptom", HANGING)
def test_a_restart_from_the_shell_repairs_a_program_that_hangs(symptom, system, terminal):
    program, kind = HANGING[symptom]
    ana, bo = (Sessions(system).begin(Person(system.gateway_url, name)) for name in ("ana", "bo"))
    hanging = system.pid(program)
    os.kill(hanging, signal.SIGSTOP)

    shown, restarted = run(terminal, symptom)

    assert kinds(shown, program) == {kind: f'restart("{program}")'}
    assert restarted == {"restarted": program} and system.pid(program) != hanging
    wait_for(lambda: terminal.shell["stuck"]() == [], 60, "all to be as it should be")
    order_id = bo.reserve(ana.list_ticket())
    assert bo.pay(order_id).json()["status"] == "complete"
    invariants.check(system)
