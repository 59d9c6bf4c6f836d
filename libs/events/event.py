"""What an event is: one kind of fact, who publishes it and who listens."""

from dataclasses import dataclass, field
from typing import Any

from marshmallow import Schema


@dataclass(frozen=True)
class Event:
    """One kind of fact, with a queue `<listener>.<name>` for each listener; `broadcast` ones reach every process."""

    name: str
    source: str
    listeners: tuple[str, ...]
    schema: Schema = field(repr=False, compare=False)
    broadcast: tuple[str, ...] = ()

    @property
    def exchange(self) -> str:
        """The topic exchange that it is published to, the one that stock nameko would use."""
        return f"{self.source}.events"

    def load(self, body: Any) -> dict[str, Any]:
        """Return `body` with its times parsed; raise marshmallow's ValidationError when it does not fit the schema."""
        loaded: dict[str, Any] = self.schema.load(body)
        return loaded
