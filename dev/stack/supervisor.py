"""Runs programs under supervisord, which restarts those that die, and leaves none of them behind."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from dev.stack.install import VIRTUAL_ENVIRONMENT
from libs.processes import die_with_parent

ROOT = Path(__file__).parents[2]
MARK = "TICKETING_STACK"  # in the environment of every process of a stack: the stack's folder
START_SECONDS = 60
STOP_SECONDS = 20
END_SECONDS = 2
"""How long supervisord may take to end once it has removed the file with its id."""
SOCKET_PATH_LIMIT = 90  # bytes; sun_path has 108 (unix(7)), and supervisord appends its pid for a moment
NOT_IN_PATHS = r"""['"*?[{]|\s[;#]"""
"""RabbitMQ hangs at an apostrophe, supervisord cannot quote `"`, Redis takes the next for a pattern; then comments."""


@dataclass(frozen=True)
class Program:
    """One supervised process: its command, its readiness check, and its own part of the environment."""

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    # RabbitMQ's node must get SIGTERM alone: it stops its own children first.
    signal_group: bool = True


class SupervisorError(Exception):
    """The supervisor did not start, or has ended."""


class Supervisor:
    """One supervisord, with the servers and the programs as two groups: programs stop before servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "supervisor.sock"
        self.pidfile = folder / "supervisord.pid"
        self.process: subprocess.Popen[bytes] | None = None

    def call(self, method: str, *arguments: object) -> Any:
        """Call supervisord's RPC interface (supervisord.org/api.html); raise SupervisorError on failure."""
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        try:
            with ServerProxy("http://127.0.0.1", transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except (OSError, HTTPException) as error:
            raise SupervisorError(f"the stack in {self.folder} does not run") from error
        except Fault as fault:
            raise SupervisorError(f"supervisord refuses {method}{arguments}: {fault.faultString}") from fault

    def start(self, servers: Sequence[Program], programs: Sequence[Program]) -> None:
        """Start supervisord and the servers; `start_programs` starts the rest. Raise SupervisorError on failure."""
        if len(os.fsencode(self.socket)) > SOCKET_PATH_LIMIT:
            raise SupervisorError(
                f"the path of {self.folder} is too long for a socket in it: move the project to a shorter one"
            )
        if re.search(NOT_IN_PATHS, str(self.folder)):
            raise SupervisorError(f"the path of {self.folder} has a character that servers misread: move the project")
        config = self.folder / "supervisord.conf"
        config.touch(mode=0o600)
        config.write_text(configuration(self.folder, servers, programs))
        with open(self.folder / "logs" / "supervisord.out", "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dev.supervisord", "-n", "-c", config],
                cwd=ROOT,
                env=environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C and a closing terminal reach only us, and we stop in order
                preexec_fn=die_with_parent,
            )
        if not wait_until(lambda: self.answers() or self.process_ended(), START_SECONDS) or self.process_ended():
            raise SupervisorError(f"supervisord did not start; see {self.folder}/logs/supervisord.out")

    def start_programs(self) -> None:
        """Start the programs, all at once."""
        self.call("startProcessGroup", "programs", False)

    def answers(self) -> bool:
        """Return whether supervisord answers on its socket."""
        with suppress(SupervisorError):
            return bool(self.call("getState")["statename"] == "RUNNING")
        return False

    def exit_code(self) -> int | None:
        """Return the exit code of the supervisord that this object started, None while it runs."""
        return self.process.poll() if self.process else None

    def process_ended(self) -> bool:
        """Return whether the supervisord that this object started has ended."""
        return self.process is not None and self.process.poll() is not None

    def state(self, name: str) -> dict[str, Any]:
        """Return supervisord's information about the program `name`; `pid` is 0 while it does not run."""
        return {state["name"]: state for state in self.states()}[name]

    def states(self) -> list[dict[str, Any]]:
        """Return supervisord's information about each process."""
        return list(self.call("getAllProcessInfo"))

    def stop(self) -> None:
        """Stop programs, then servers, then supervisord, and any of them that are left. Safe to repeat."""
        own = self._own_pid()
        for pid in own:
            _signal(pid, signal.SIGTERM)
        if self.process is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(2 * STOP_SECONDS)
        # it removes the file with its id before it ends; a second signal meanwhile would kill it
        ending = set(own or members(self.folder))
        wait_until(lambda: not ending & set(members(self.folder)), 2 * STOP_SECONDS if own else END_SECONDS)
        for kind, seconds in ((signal.SIGTERM, 8), (signal.SIGKILL, 5)):  # none of them loses data by kill -9
            self._signal_members(kind)
            if wait_until(lambda: not members(self.folder), seconds):
                break
        if self.process is not None:
            self.process.wait(5)
            self.process = None

    def kill(self) -> None:
        """Kill everything at once, in no order, which leaves nothing for `stop`; no server loses data by that."""
        for pid in self._own_pid():  # supervisord first, which would start the others again
            _signal(pid, signal.SIGKILL)
        wait_until(lambda: not self._signal_members(signal.SIGKILL), STOP_SECONDS)

    def _signal_members(self, kind: signal.Signals) -> list[int]:
        pids = members(self.folder)
        for pid in pids:
            _signal(pid, kind)
        return pids

    def _own_pid(self) -> list[int]:
        try:
            pid = int(self.pidfile.read_text())
        except (OSError, ValueError):
            return []
        return [pid] if pid in members(self.folder) else []


def configuration(folder: Path, servers: Sequence[Program], programs: Sequence[Program]) -> str:
    """Return supervisord's configuration for a stack in `folder`."""
    groups = [("servers", servers, True)] + ([("programs", programs, False)] if programs else [])
    user = "user = root\n" if os.geteuid() == 0 else ""
    sections = [
        f"[unix_http_server]\nfile = {folder}/supervisor.sock\nchmod = 0700\n",
        f"[supervisord]\nlogfile = {folder}/logs/supervisord.log\nlogfile_maxbytes = 5MB\nlogfile_backups = 1\n"
        f"pidfile = {folder}/supervisord.pid\nchildlogdir = {folder}/logs\nnodaemon = true\nsilent = true\n{user}",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    for priority, (group, members_, autostart) in enumerate(groups):
        names = ",".join(program.name for program in members_)
        sections.append(f"[group:{group}]\nprograms = {names}\npriority = {priority}\n")
        directory = (
            folder if group == "servers" else ROOT
        )  # a server that crashes writes its dump to its working directory
        sections += [_section(folder, program, directory, autostart) for program in members_]
    return "\n".join(sections).replace("%", "%%")  # supervisord expands %(name)s in every value


def _section(folder: Path, program: Program, directory: Path, autostart: bool) -> str:
    variables = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    lines = {
        "command": shlex.join(program.command),
        "environment": variables,
        "directory": str(directory),
        "autostart": str(autostart).lower(),
        "autorestart": "true",
        "startretries": "100000",
        "stopwaitsecs": str(STOP_SECONDS - 5),
        "stopasgroup": str(program.signal_group).lower(),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"{folder}/logs/{program.name}.log".replace("%", "%%"),  # this one it expands twice
        "stdout_logfile_maxbytes": "5MB",
        "stdout_logfile_backups": "2",
    }
    settings = (f"{name} = {value}" for name, value in lines.items() if value)
    return f"[program:{program.name}]\n" + "\n".join(settings) + "\n"


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of every process of the stack: few of the caller's variables, and the stack's mark."""
    kept = {
        name: os.environ[name]
        for name in ("HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOG_FORMAT")
        if name in os.environ
    }
    path = [str(VIRTUAL_ENVIRONMENT / "bin"), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
    python = {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}  # nameko's imports warn before there is a log
    return {**kept, "PATH": os.pathsep.join(path), **python, MARK: str(folder)}


def members(folder: Path) -> list[int]:
    """Return the ids of the running processes that carry the mark of the stack in `folder`."""
    mark = f"{MARK}={folder}".encode()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and mark in _environ(entry)]


def _environ(entry: Path) -> list[bytes]:
    with suppress(OSError):  # it ended just now, or is another user's
        return (entry / "environ").read_bytes().split(b"\0")
    return []


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Return True as soon as `condition()` holds, False when it did not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _signal(pid: int, kind: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, kind)
