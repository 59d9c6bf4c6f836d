"""What an event is: a kind of fact, who publishes it and who listens."""

from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema


@dataclass(frozen=True)
class Event:
    """A kind of fact, with a queue `<listener>.<name>` for each listener.

    `broadcast` names the parts of which every running process receives it, in a queue that ends with the process.
    """

    name: str
    source: str
    listeners: tuple[str, ...]
    schema: Schema = field(repr=False, compare=False)
    broadcast: tuple[str, ...] = ()

    @property
    def exchange(self) -> str:
        """The topic exchange to which it is published, the same as with stock nameko."""
        return f"{self.source}.events"

    def load(self, body: Any) -> dict[str, Any]:
        """Return `body` with its times parsed; raise marshmallow's ValidationError when it does not fit the schema."""
        loaded: dict[str, Any] = self.schema.load(body)
        return loaded
