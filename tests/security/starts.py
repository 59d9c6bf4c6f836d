"""Starts programs in one environment after the other, in one process: `python -m tests.security.starts`.

Reads [[command, environment], ...] from stdin as JSON, and writes the message with which the program refused to start
in each, and all other output and logs; it must refuse in all of them. Those that nameko runs come last: it patches
Python's modules.
"""

import importlib
import json
import os
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import yaml

from libs.service import read_environment


def refusal(command, environment, shown):
    """Return the message with which the program ends, and then its output `shown`."""
    os.environ.clear()
    os.environ.update(environment)
    shown.seek(0)
    shown.truncate()
    try:
        run(command)
    except SystemExit as end:
        return f"{end}\n{shown.getvalue()}"
    raise AssertionError(f"{command} ended as if nothing was wrong")


def run(command):
    """Set a program up as its command does; without what loads it in other processes and threads."""
    sys.argv = command[2:] if command[1] == "-m" else command
    if "libs.service" in command:
        set_up(*command[3:])
    elif "gunicorn" in command:
        module, factory = command[-1].removesuffix("()").split(":")
        getattr(importlib.import_module(module), factory)()
    else:
        runpy.run_module(command[2], run_name="__main__")


def set_up(config, service):
    """Do what `libs.service` does, up to the point where the service would begin to consume."""
    from nameko.cli.run import import_service
    from nameko.containers import get_container_cls

    read_environment()
    config = yaml.safe_load(Path(config).read_text())
    for service_class in import_service(service):
        container = get_container_cls(config)(service_class, config)
        for extension in container.extensions:
            extension.setup()


def main():
    """Start the programs from stdin."""
    shown = StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        refusals = [refusal(command, environment, shown) for command, environment in json.load(sys.stdin)]
    print(json.dumps(refusals))


if __name__ == "__main__":
    main()
