"""One stack: private servers and the programs of the system, in a folder and on ports of its own."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import requests

from dev.stack import install, supervisor
from dev.stack.layout import Layout
from dev.stack.ports import HOST, SERVE_METRICS, Node, Ports, PortTaken
from dev.stack.programs import all_programs, environment
from dev.stack.servers import ask, servers
from dev.stack.supervisor import STOP_SECONDS, Program, SupervisorError, members, wait_until
from libs.contracts.parts import BROKER_USERS, MONGO_USERS
from libs.processes import die_with_parent
from ops import mongo_setup
from ops.broker_setup import OtherQueueType, set_up
from ops.broker_users import ADMINISTRATOR

SERVER_PORTS = ("amqp", "management", "erlang", "epmd", "redis", "mongo")
READY_SECONDS = 120
ENDS = 2
"""How often a program may end before it is ready, as one does whose server is not yet there."""
LOG_LINES = 30
SLOWEST = "rabbitmq"
"""The server during whose start there is time to set up and migrate MongoDB."""


class StackError(Exception):
    """The stack cannot start or go on; the message says why, for the person at the terminal."""


class Stack(Layout):
    """Servers and programs in `folder`, started by `start` and stopped by `stop`, or killed at the end of a `with`.

    `programs` is `all_programs`, `no_programs` (servers only), or another function from the stack to its programs.
    `report` gets one line per step.
    """

    ready_seconds = READY_SECONDS

    def __init__(
        self,
        folder: Path,
        ports: Ports | None = None,
        programs: Callable[[Layout], list[Program]] = all_programs,
        environ: Mapping[str, str] = os.environ,
        report: Callable[[str], None] = lambda line: None,
        nodes: Sequence[Node] = (),
    ) -> None:
        super().__init__(folder, ports, environ, nodes)
        self._report = report
        self._choose_programs = programs
        self.programs: dict[str, Program] = {}
        self._lock: TextIO | None = None

    @classmethod
    def join(cls, folder: Path) -> Self:
        """Return the stack that another process runs in `folder`; raise StackError when there is none."""
        if not members(folder.resolve()):
            raise StackError(f"no stack runs in {folder}")
        return cls(folder, Ports.load(folder / "ports.json"))

    def management(self, method: str, path: str, json: dict[str, str] | None = None) -> requests.Response:
        """Call RabbitMQ's management API, such as ("PUT", "/api/vhosts/x"); raise HTTPError when it refuses."""
        auth = (ADMINISTRATOR, self.secrets["RABBITMQ_PASSWORD"])
        reply = ask(method, self.management_url + path, auth=auth, json=json, timeout=30)
        reply.raise_for_status()
        return reply

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.supervisor.kill()
        self.stop()

    def start(self) -> None:
        """Start everything and return when all of it is ready; raise StackError when something does not start."""
        self._take_lock()
        if members(self.folder):
            self._report("stopping what an earlier run left behind")
            self.supervisor.stop()
        (self.folder / "logs").mkdir(exist_ok=True)
        try:
            programs = self._choose_programs(self)
            started = self._servers()
            self.programs = {program.name: program for program in [*started, *programs]}
            self._require_ports()
            self.ports.save(self.folder / "ports.json")
            self.supervisor.start(started, programs)
        except (SupervisorError, PortTaken, install.MissingServers) as error:
            raise StackError(str(error)) from error
        began = time.monotonic()
        others = [server for server in started if not server.name.startswith(SLOWEST)]
        self._wait_for(others, began)
        self._make_mongo_users({name: self.mongo_url_for(name) for name in MONGO_USERS})
        if programs:
            self._migrate()
        self._wait_for([server for server in started if server not in others], began)
        if programs:
            self._set_up_broker()
            self.supervisor.start_programs()
            self._wait_for(programs, time.monotonic())

    def _servers(self) -> list[Program]:
        """Write the servers' configuration and return the servers, in order of start."""
        return servers(self.folder, self.ports, self.secrets)

    def _require_ports(self) -> None:
        """Raise PortTaken when something already listens on a port that is needed."""
        self.ports.require_free(SERVER_PORTS + self._program_ports())

    def _make_mongo_users(self, addresses: Mapping[str, str]) -> None:
        """Create the users of these addresses of MongoDB, and the migration's."""
        password, migration = self.secrets["MONGO_PASSWORD"], self.secrets["MIGRATE_MONGO_PASSWORD"]
        mongo_setup.grant_all(f"{HOST}:{self.ports.mongo}", password, addresses, migration)

    def _set_up_broker(self) -> None:
        """Create the users at RabbitMQ, and declare everything there."""
        addresses = {part: self.amqp_url_for(part) for part in BROKER_USERS}
        try:
            next(set_up(self.management_url, self.secrets["RABBITMQ_PASSWORD"], addresses))
        except OtherQueueType as error:
            raise StackError(f"{error}; here: delete {self.folder / 'rabbitmq'}") from error

    def _migrate(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "ops.migrate"],
            env={**supervisor.environment(self.folder), **environment("migrate", self)},
            cwd=supervisor.ROOT,
            capture_output=True,
            text=True,
            preexec_fn=die_with_parent,
        )
        if done.returncode:
            raise StackError(f"the databases cannot be migrated. {done.stderr[-2000:]}")
        for line in done.stderr.splitlines():
            self._report(line)

    def _program_ports(self) -> tuple[str, ...]:
        listening = {"gateway": "gateway", "fake-stripe": "stripe"}
        ports = tuple(port for program, port in listening.items() if program in self.programs)
        return (*ports, "metrics") if set(SERVE_METRICS) & set(self.programs) else ports

    def stop(self) -> None:
        """Stop everything that `start` started, in order, and leave no process behind. Safe to repeat."""
        if self._lock is None:
            return
        if members(self.folder):
            self._report("stopping")
        self.supervisor.stop()
        self._lock.close()
        self._lock = None

    def kill(self, name: str) -> None:
        """Kill `name` (SIGKILL, with its workers) and return once it is dead; the supervisor then starts it again."""
        self._kill(name, self.pid(name))

    def kill_for_good(self, name: str) -> None:
        """Kill `name` (SIGKILL, with its workers); it stays stopped until `start_program`."""
        pid = self.pid(name)
        self.supervisor.call("stopProcess", self._full_name(name), False)  # else it would start it again
        self._kill(name, pid)

    def _kill(self, name: str, pid: int) -> None:
        os.killpg(pid, signal.SIGKILL)
        if not wait_until(lambda: self.pid(name) != pid, 10):
            raise StackError(f"{name} (process {pid}) does not die")

    def stop_program(self, *names: str) -> None:
        """Stop programs as an operator would (SIGTERM), all at once; they stay stopped until `start_program`."""
        for name in names:
            self.supervisor.call("stopProcess", self._full_name(name), False)  # supervisord would wait in a busy loop
        if not wait_until(lambda: not any(map(self.pid, names)), STOP_SECONDS):
            raise StackError(f"{' or '.join(names)} does not stop")

    def start_program(self, name: str) -> None:
        """Start `name` again; `wait_ready` returns when it is ready."""
        self.supervisor.call("startProcess", self._full_name(name), False)

    def restart(self, name: str) -> None:
        """Stop a program or server and start it again; raise StackError when there is none, or it does not start."""
        if name not in (names := [state["name"] for state in self.supervisor.states()]):
            raise StackError(f"{name} is none of {', '.join(names)}")
        self.stop_program(name)
        self.start_program(name)
        if not wait_until(lambda: self.supervisor.state(name)["statename"] == "RUNNING", READY_SECONDS):
            raise self._not_ready([name], READY_SECONDS)

    def wait_ready(self, name: str, deadline: float = READY_SECONDS) -> None:
        """Return once `name` is ready; raise StackError with the end of its log after `deadline` seconds."""
        program = self.programs[name]
        if not wait_until(lambda: self._ready([program]), deadline):
            raise self._not_ready([name], deadline)

    def _not_ready(self, names: Sequence[str], seconds: float) -> StackError:
        return StackError(
            "\n".join(f"{name} is not ready after {seconds:.0f} s. {self._log_end(name)}" for name in names)
        )

    def _log_end(self, name: str) -> str:
        """Return the last lines of a program's log for a message, each once however often it was started again."""
        lines = dict.fromkeys(reversed(self.logs(name).splitlines()[-LOG_LINES:]))
        return "\n".join(("The end of its log:", *reversed(lines))) if lines else "Its log is empty."

    def logs(self, name: str) -> str:
        """Return the log of the program `name`."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def _ready(self, programs: Sequence[Program]) -> list[Program]:
        """Return those of `programs` that are ready."""
        if self.supervisor.process_ended():
            raise StackError(f"supervisord ended; see {self.folder}/logs/supervisord.log")
        running = {state["name"] for state in self.supervisor.states() if state["pid"]}
        return [program for program in programs if program.name in running and program.is_ready()]

    def _wait_for(self, programs: Sequence[Program], began: float) -> None:
        """Return once all of them are ready, which were started at `began`, a moment of `time.monotonic()`."""
        waiting = list(programs)
        ends: set[tuple[str, int]] = set()
        while waiting:
            for program in self._ready(waiting):
                waiting.remove(program)
                self._report(f"{program.name:<12} ready after {time.monotonic() - began:4.1f} s")
            names = [program.name for program in waiting]
            if names and time.monotonic() - began > self.ready_seconds:
                raise self._not_ready(names, self.ready_seconds)
            ends |= {(state["name"], state["stop"]) for state in self.supervisor.states() if state["name"] in names}
            for name, count in Counter(name for name, stop in ends if stop).items():
                if count > ENDS:
                    raise StackError(f"{name} keeps ending. {self._log_end(name)}")
            time.sleep(0.2)

    def _full_name(self, name: str) -> str:
        return f"{self.supervisor.state(name)['group']}:{name}"

    def _take_lock(self) -> None:
        lock = open(self.folder / "lock", "w")  # noqa: SIM115 - held as long as the stack runs
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise StackError(f"a stack already runs in {self.folder}; `make stop` stops it") from error
        self._lock = lock
