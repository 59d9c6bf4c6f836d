"""Starts services by forking a process that has imported the modules they share, which are most of the cost of a start.

`python -m dev.fork_server` is that process. It runs each command that arrives at its standard input, a socket, in a
process of its own, by what runs it in production: `libs.service`.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from os import fork, waitpid, write  # as they are before nameko patches them
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    "nameko.cli.run",
    *("argon2", "jwt", "marshmallow", "pymongo", "stripe", "webauthn", "zxcvbn"),
    *("libs.amqp.container", "libs.events", "libs.rpc.caller", "libs.rpc.entrypoint", "libs.service"),
)
COMMAND_BYTES = 2**20


class Service:
    """A service that runs as a process of its own, with what tests use of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        command = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        reports, report_to = os.pipe()
        socket.send_fds(_preloaded(), [command], [report_to, 1, 2])
        os.close(report_to)
        self._reports = os.fdopen(reports)
        self.pid = int(self._reports.readline())
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, that of a signal negative; None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._exit_code

    def wait(self, seconds: float) -> int:
        """Return the exit code once the process has ended; raise TimeoutExpired when it has not within `seconds`."""
        if self._exit_code is None:
            if not select.select([self._reports], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), seconds)
            self._exit_code = int(self._reports.readline())
            self._reports.close()
        return self._exit_code

    def send_signal(self, kind: signal.Signals) -> None:
        """Send the process a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, kind)

    def kill(self) -> None:
        """Kill the process."""
        self.send_signal(signal.SIGKILL)


@cache
def _preloaded() -> socket.socket:
    """Return the socket that leads to the process that forks; it ends with this one."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-W", "ignore", "-m", __name__]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdin=far.fileno())
    far.close()

    def end() -> None:
        near.close()
        process.wait(10)

    atexit.register(end)
    return near


def main() -> None:
    """Fork for each command until the sending end is closed."""
    commands = socket.socket(fileno=0)
    import_module("libs.monkey").patch()  # before others are imported
    for module in PRELOADED:
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the processes that watch the services are not waited for
    while True:
        command, passed, _, _ = socket.recv_fds(commands, COMMAND_BYTES, 3)
        if not command:
            return
        if not fork():
            commands.close()
            _watch(json.loads(command), *passed)
        for descriptor in passed:
            os.close(descriptor)


def _watch(command: dict[str, Any], report_to: int, output: int, errors: int) -> None:
    """Run a service; report its process id at once and its exit code in the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = fork()
    if not pid:
        os.close(report_to)
        _become(command, output, errors)
    write(report_to, f"{pid}\n".encode())
    _, status = waitpid(pid, 0)
    write(report_to, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(command: dict[str, Any], output: int, errors: int) -> NoReturn:
    os.dup2(output, 1)
    os.dup2(errors, 2)
    os.environ.clear()
    os.environ.update(command["environment"])
    import_module("eventlet.hubs").use_hub()  # a hub of its own: its watched sockets would be shared
    sys.argv[:] = ["libs.service", *command["arguments"]]
    sys.exit(import_module("libs.service").main())


if __name__ == "__main__":
    main()
