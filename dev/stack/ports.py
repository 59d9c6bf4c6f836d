"""Which loopback ports a stack listens on."""

import json
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from libs.contracts.parts import SERVICES
from libs.settings import between, parsed

HOST = "127.0.0.1"
SERVE_METRICS = ("gateway", "scheduler", "worker", *SERVICES, "broker-setup")
"""The programs that serve metrics, in the order of their ports: a new service moves that of broker-setup alone."""


class PortTaken(Exception):
    """Another program listens on a port that the stack needs; the message names the setting that moves it."""


@dataclass(frozen=True)
class Ports:
    """One port per listener; the defaults stay clear of the servers' standard ports and of Linux's ephemeral range."""

    gateway: int = 8000
    stripe: int = 18111
    amqp: int = 18672
    management: int = 18673
    erlang: int = 18674
    epmd: int = 18675
    redis: int = 18679
    sentinel: int = 18680  # only in a cluster
    mongo: int = 18717
    metrics: int = 18800  # and those after it, one for each of SERVE_METRICS

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Ports":
        """Return the defaults, moved by the settings GATEWAY_PORT, METRICS_PORT, STACK_AMQP_PORT and so on."""
        names = (field.name for field in fields(cls))
        return cls(
            **{name: parsed(setting(name), *_port(name), environ) for name in names if environ.get(setting(name))}
        )

    @classmethod
    def load(cls, path: Path) -> "Ports":
        """Return the ports that `save` wrote to `path`; raise FileNotFoundError when none were."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write the ports to `path`, for another process that joins the running stack."""
        path.write_text(json.dumps(asdict(self)))

    def moved(self, distance: int) -> "Ports":
        """Return ports that are `distance` higher, except that of epmd, which all nodes of a machine share."""
        return replace(self, **{name: port + distance for name, port in asdict(self).items() if name != "epmd"})

    def metrics_of(self, program: str) -> int:
        """Return the port on which `program` serves its metrics; raise ValueError when it serves none."""
        return self.metrics + SERVE_METRICS.index(program)

    def require_free(self, names: tuple[str, ...]) -> None:
        """Raise PortTaken, naming every port of `names` on which something already listens."""
        needed = [(name, port) for name in names for port in self._all(name)]
        taken = [f"\n  {port}: set {setting(name)} to another" for name, port in needed if is_taken(port)]
        if taken:
            raise PortTaken("another program already listens on a port that is needed:" + "".join(taken))

    def _all(self, name: str) -> range:
        first = getattr(self, name)
        return range(first, first + (len(SERVE_METRICS) if name == "metrics" else 1))


@dataclass(frozen=True)
class Node:
    """Where one member of each server listens, and on `ports` one copy of each program.

    `inside` is the command that runs another one in the members' network, when that is one of its own.
    """

    ports: Ports
    host: str = HOST
    inside: tuple[str, ...] = ()


def _port(name: str) -> tuple[Callable[[str], int], str]:
    return between(1, 65535 - (len(SERVE_METRICS) - 1 if name == "metrics" else 0))


def setting(name: str) -> str:
    """Return the environment variable that moves the port `name`."""
    return f"{name.upper()}_PORT" if name in ("gateway", "metrics") else f"STACK_{name.upper()}_PORT"


def is_taken(port: int) -> bool:
    """Return whether something listens on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def free_ports() -> Ports:
    """Return free ports, all different, for a stack of a test; no other call gets them while this process runs.

    Linux gives none of them to a client: they are below its ephemeral range.
    """
    names = [field.name for field in fields(Ports) if field.name != "metrics"]
    row = _claim_row(len(names) + len(SERVE_METRICS))
    return Ports(**dict(zip(names, row, strict=False)), metrics=row[len(names)])


def _claim_row(length: int) -> range:
    """Return so many free ports in a row; a socket bound to the one before them keeps them until the process ends."""
    while True:
        # not by chance that a test framework may have seeded: several processes look for a row at the same time
        first = 10000 + secrets.randbelow(18000 // (length + 1)) * (length + 1)
        row = range(first + 1, first + 1 + length)
        with socket.socket() as guard, suppress(OSError):
            guard.bind((HOST, first))
            if not any(map(is_taken, row)):
                guard.detach()
                return row
