"""The stack's command line: `python -m dev.stack COMMAND`; `--help` lists the commands."""

import argparse
import os
import select
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from dev.stack import backups, install
from dev.stack.cluster import Cluster
from dev.stack.operators import NoOperator, make_operator, signing_key
from dev.stack.ports import free_ports
from dev.stack.programs import environment, no_programs
from dev.stack.stack import Stack, StackError
from dev.stack.supervisor import ROOT, Supervisor, SupervisorError
from libs.contracts.parts import OPERATOR
from libs.processes import die_with_parent

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """The stack was asked to stop: Ctrl-C, SIGTERM, or a terminal that closed."""


def main() -> None:
    """Run the command line; exit with a message and code 1 when that is impossible."""
    parser = argparse.ArgumentParser(prog="python -m dev.stack", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".stack", help="where the stack's data, logs and keys are"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run everything until Ctrl-C")
    commands.add_parser("cluster", help="run a cluster of three nodes until Ctrl-C")
    commands.add_parser("servers", help="run RabbitMQ, Redis and MongoDB alone, on free ports, until Ctrl-C")
    commands.add_parser("stop", help="stop the stack, or what a killed one left behind")
    commands.add_parser("status", help="list the processes")
    commands.add_parser("restart", help="stop a program or server and start it again").add_argument("name")
    env = commands.add_parser("env", help="print an operator's settings: eval the output in a shell")
    env.add_argument("name", help="the operator's name")
    make = commands.add_parser("operator", help="add an operator, or replace their key by a new one")
    make.add_argument("name")
    backing_up = commands.add_parser("backup", help="back up the databases of the running stack; print where")
    backing_up.add_argument("into", type=Path, help="the folder of all backups")
    restoring = commands.add_parser("restore", help="restore a backup to a stack that does not run")
    restoring.add_argument("backup", type=Path, help="the folder of this backup")
    restoring.add_argument("--replace", action="store_true", help="delete all documents that are there")
    installing = commands.add_parser("install", help="install missing servers")
    for name in ("browser", "cluster"):
        installing.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    try:
        _execute(options)
    except (StackError, SupervisorError, NoOperator, install.MissingServers, backups.Failed) as problem:
        sys.exit(str(problem))
    except OSError as problem:  # a folder that cannot be made, a full disk
        sys.exit(str(problem))


def _execute(options: argparse.Namespace) -> None:  # noqa: C901 - a line or three for each command
    folder = options.folder.resolve()
    match options.command:
        case "run":
            install.require()
            run(Stack(folder, report=print_now))
        case "servers":
            install.require()
            run(Stack(folder, free_ports(), no_programs, report=print_now))
        case "cluster":
            install.require(cluster=True)
            run(Cluster(folder, report=print_now))
        case "stop":
            Supervisor(folder).stop()
        case "status":
            for state in Supervisor(folder).states():
                print_now(f"{state['name']:<12} {state['statename']:<9} {state['description']}")
        case "restart":
            Stack.join(folder).restart(options.name)
        case "env":
            stack = Stack.join(folder)
            settings = {**environment(OPERATOR, stack), "OPERATOR_SIGNING_KEY": signing_key(stack, options.name)}
            restart = (sys.executable, "-m", "dev.stack", "--folder", str(folder), "restart")
            settings |= {"OPERATOR_RESTART_COMMAND": shlex.join(restart), "PYTHONWARNINGS": "ignore"}
            for name, value in settings.items():
                print_now(f"export {name}={shlex.quote(value)}")
        case "operator":
            make_operator(Stack.join(folder), options.name)
            print_now(f"{options.name} may operate: `make shell NAME={options.name}`")
        case "backup":
            print_now(str(backups.make(Stack.join(folder), options.into)))
        case "restore":
            _restore(folder, options.backup, options.replace)
        case "install":
            install.require(options.browser, options.cluster)


def _restore(folder: Path, backup: Path, replace: bool) -> None:
    install.require()
    backups.restore(Stack(folder, programs=no_programs, report=print_now), backup, replace)
    print_now("restored: `make run` starts the system")


def run(stack: Stack) -> NoReturn:
    """Run `stack` until it is asked to stop, then stop all of it; exit with a code by the cause."""
    if os.environ.get("MAKELEVEL"):
        die_with_parent()  # so that a killed make takes the stack with it
    for kind in STOPPING:
        if signal.getsignal(kind) != signal.SIG_IGN:  # as under nohup
            signal.signal(kind, _interrupt)
    code: int | str = f"the supervisor ended, so everything was stopped; see {stack.folder}/logs/supervisord.log"
    try:
        stack.start()
        _print_addresses(stack)
        _wait(stack)
    except Interrupted:
        code = 0
    except StackError as problem:
        code = str(problem)
    finally:
        for kind in STOPPING:
            signal.signal(kind, signal.SIG_IGN)
        stack.stop()
    sys.exit(code)


def _wait(stack: Stack) -> None:
    """Return when supervisord ends; raise Interrupted when that was `make stop`, or when the terminal closes.

    When a terminal closes, the kernel signals only the leader of its session (make, say), which may not pass that on.
    """
    terminal = select.poll()
    if sys.stdout.isatty():
        terminal.register(sys.stdout, 0)
    while not stack.supervisor.process_ended():
        if terminal.poll(1000):
            raise Interrupted
    if stack.supervisor.exit_code() == 0:
        raise Interrupted


def _interrupt(_number: int, _frame: object) -> None:
    raise Interrupted


def _print_addresses(stack: Stack) -> None:
    """Print all addresses: first the site's, last a line for each program."""
    print_now(f"\nlogs: {stack.folder}/logs; passwords: {stack.folder}/secrets.env; Ctrl-C stops everything.\n")
    for state in stack.supervisor.states():
        print_now(f"{state['name']:<12} {state['statename']:<9} {stack.address_of(state['name'])}")


def print_now(line: str) -> None:
    """Print `line` at once; a closed terminal is no reason to fail."""
    with suppress(OSError):
        print(line, flush=True)


if __name__ == "__main__":
    main()
