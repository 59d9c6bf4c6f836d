"""What the stack supervises: one process, how it is started and how its readiness is checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Program:
    """One supervised process: its command, its readiness check, and its own part of the environment."""

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    # RabbitMQ's node must get SIGTERM alone: it stops its own children first.
    signal_group: bool = True
