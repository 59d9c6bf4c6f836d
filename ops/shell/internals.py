"""Verbs about the system's internals: events, queues, outboxes, copies and jobs."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from libs.contracts.parts import SERVICES
from libs.rpc import ServiceUnavailable
from libs.settings import optional
from ops.shell.operator_client import LISTENERS, OperatorClient, Service
from ops.shell.verbs import Ids, verb

INTERNALS = "Internals"
RESTART_SECONDS = 120
"""How long a restart may take: the slowest program has 25 seconds to stop, and 60 to start."""


class CannotRestart(Exception):
    """There is no way to restart a program from here, or it failed."""


@verb(INTERNALS)
def parked(client: OperatorClient) -> list[dict[str, Any]]:
    """Count the events that failed at every attempt and are parked, by queue and exception."""
    return _all(client, LISTENERS, lambda service: service.parked_events())


@verb(INTERNALS)
def show(client: OperatorClient, queue: str, ids: Ids = None, exception: str | None = None, limit: int = 20) -> Any:
    """Show parked events of a queue: why they failed, how often each was replayed, and what is in them."""
    return _owner(client, queue).show_parked(queue=queue, ids=_listed(ids), exception=exception, limit=limit)


@verb(INTERNALS, changes=True)
def replay(client: OperatorClient, queue: str, ids: Ids = None, exception: str | None = None) -> Any:
    """Send parked events of a queue to their listener again: all, or those with these ids or this exception.

    Returns {"replayed", "left"}: how many, and how many it did not get to. Repeat it while any are left.
    """
    return _owner(client, queue).replay_parked(queue=queue, ids=_listed(ids), exception=exception)


@verb(INTERNALS, changes=True)
def discard(client: OperatorClient, queue: str, ids: Ids = None, exception: str | None = None, *, reason: str) -> Any:
    """Archive parked events of a queue and remove them for good: those with these ids or this exception.

    Returns {"discarded", "left"}: how many, and how many it did not get to. Repeat it while any are left.
    """
    return _owner(client, queue).discard_parked(queue=queue, ids=_listed(ids), exception=exception, reason=reason)


@verb(INTERNALS)
def discarded(client: OperatorClient, limit: int = 20) -> list[dict[str, Any]]:
    """List the events that were discarded last, by service, with who discarded them and why."""
    return _all(client, LISTENERS, lambda service: service.discarded_events(limit=limit))


@verb(INTERNALS)
def queues(client: OperatorClient) -> list[dict[str, Any]]:
    """List all queues of events: how many wait, how many listen, how many are parked."""
    return _all(client, LISTENERS, lambda service: service.queues())


@verb(INTERNALS)
def outboxes(client: OperatorClient) -> list[dict[str, Any]]:
    """List all outboxes: how many documents have events to publish, and for how long."""
    answers = client.ask(lambda service: service.outboxes(), SERVICES)
    return [{"service": part, **each} for part, answer in answers.items() for each in answer]


@verb(INTERNALS)
def copies(client: OperatorClient) -> list[dict[str, Any]]:
    """List all kinds of copies: how many are out of date, and how far the comparison is behind."""
    return _all(client, LISTENERS, lambda service: service.copies())


@verb(INTERNALS)
def jobs(client: OperatorClient) -> Any:
    """Count deadlines and their jobs, and list those that are late or missing."""
    return client.expiration.jobs()


@verb(INTERNALS, changes=True)
def repair(client: OperatorClient, *parts: str) -> dict[str, int]:
    """Compare all copies of these services, or of all, with their sources; count those that were out of date."""
    if unknown := sorted(set(parts) - set(LISTENERS)):
        raise ValueError(f"{', '.join(unknown)} has no copies: {', '.join(LISTENERS)} have")
    return client.ask(_repaired, parts or LISTENERS)


@verb(INTERNALS, changes=True)
def restart(client: OperatorClient, part: str) -> Any:
    """Restart a program of the stack that `make run` runs here, such as orders or gateway.

    It is recorded, unless auth or the broker is unreachable.
    Raises CannotRestart elsewhere: there, use `docker compose restart PROGRAM`.
    """
    command = optional("OPERATOR_RESTART_COMMAND", "", str, "COMMAND")
    if not command:
        raise CannotRestart(
            f"no OPERATOR_RESTART_COMMAND is set: use `docker compose restart {part}` where the containers run"
        )
    try:
        client.ask(lambda auth: auth.note_action(what=f"restart {part}"), ["auth"])  # auth itself may be broken
    except ServiceUnavailable as error:
        print(f"restarting {part} is not recorded: {error}", file=sys.stderr)
    try:
        words = [*shlex.split(command), part]
    except ValueError as error:
        raise CannotRestart(f"OPERATOR_RESTART_COMMAND is no command: {error}") from error
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=RESTART_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRestart(f"{part} did not restart: {error}") from error
    if done.returncode:
        raise CannotRestart(done.stderr.strip() or f"{part} did not restart")
    return {"restarted": part}


def _all(client: OperatorClient, parts: Any, ask: Callable[[Service], Any]) -> list[dict[str, Any]]:
    return [each for answer in client.ask(ask, parts).values() for each in answer]


def _owner(client: OperatorClient, queue: str) -> Service:
    """Return the service whose queue it is."""
    part = queue.partition(".")[0]
    if part not in LISTENERS:
        raise ValueError(f"{queue} is no queue of events: its name begins with one of {', '.join(LISTENERS)}")
    return client.services[part]


def _listed(ids: Ids) -> list[str] | None:
    """Return ids as a list; an empty one, which selects nothing, is not None, which selects everything."""
    return [ids] if isinstance(ids, str) else None if ids is None else list(ids)


def _repaired(service: Service) -> int:
    answer = service.repair()
    repaired = answer["repaired"]
    while answer["next"]:
        answer = service.repair(after=answer["next"])
        repaired += answer["repaired"]
    return int(repaired)
