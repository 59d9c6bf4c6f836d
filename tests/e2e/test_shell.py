import os
import subprocess
import sys
from pathlib import Path

from libs.stack.programs import environment

ROOT = Path(__file__).parents[2]


def shell(system, script):
    """Run `script` in the operator's nameko shell as `make shell` would, and return what it printed."""
    settings = {**os.environ, **environment("operator", system), "PYTHONSTARTUP": "libs/operator/shell.py"}
    nameko = str(Path(sys.executable).with_name("nameko"))
    command = [nameko, "shell", "--interface", "plain", "--config", "libs/operator/config.yml"]
    done = subprocess.run(
        command,
        input=script,
        env={**settings, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_operator_looks_at_an_order_moves_its_deadline_and_sees_nothing_parked(system, ana, bo):
    order_id = bo.reserve(ana.list_ticket())

    printed = shell(
        system,
        f'print(orders.snapshot(order_id="{order_id}")["status"])\n'
        f'print(orders.move_deadline(order_id="{order_id}", expires_at="2026-01-01T00:00:00Z")["version"])\n'
        "print(parked())\n"
        'print(n.rpc.tickets.list(limit=1)["next"] != "")\n',
    )

    assert printed.replace(">>>", "").split()[-4:] == ["created", "2", "{}", "True"]
    bo.sees_order(order_id, "cancelled")
