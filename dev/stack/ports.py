"""Which loopback ports a stack listens on."""

import json
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path

HOST = "127.0.0.1"


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
    mongo: int = 18717

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Ports":
        """Return the defaults, moved by the settings GATEWAY_PORT, STACK_AMQP_PORT, STACK_REDIS_PORT and so on."""
        names = (field.name for field in fields(cls))
        return cls(**{name: int(environ[setting(name)]) for name in names if environ.get(setting(name))})

    @classmethod
    def load(cls, path: Path) -> "Ports":
        """Return the ports that `save` wrote to `path`; raise FileNotFoundError when none were."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write the ports to `path`, for another process that joins the running stack."""
        path.write_text(json.dumps(asdict(self)))

    def require_free(self, names: tuple[str, ...]) -> None:
        """Raise PortTaken, naming every port of `names` on which something already listens."""
        taken = [f"\n  {getattr(self, name)}: set {setting(name)} to another" for name in names if self._taken(name)]
        if taken:
            raise PortTaken("another program already listens on a port that is needed:" + "".join(taken))

    def _taken(self, name: str) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, getattr(self, name)))
            except OSError:
                return True
        return False


def setting(name: str) -> str:
    """Return the environment variable that moves the port `name`."""
    return "GATEWAY_PORT" if name == "gateway" else f"STACK_{name.upper()}_PORT"


def free_ports() -> Ports:
    """Return ports that are free now, all different, for a stack of a test."""
    with ExitStack() as open_together:
        sockets = {field.name: open_together.enter_context(socket.socket()) for field in fields(Ports)}
        for probe in sockets.values():
            probe.bind((HOST, 0))
        return Ports(**{name: probe.getsockname()[1] for name, probe in sockets.items()})
