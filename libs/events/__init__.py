"""Events with at-least-once delivery: catalogue, outbox and relay, versioned copies, retries with backoff, parking.

Guaranteed: an event whose change was saved reaches every listener that the catalogue names at least once, whatever
crashes. Not guaranteed: exactly once, or in order. So each event is a whole snapshot with its version, and a listener
keeps the newest. docs/events.md has every guarantee, and a complete service in ten lines.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from libs.errors import Unavailable
from libs.events.aggregates import CHANGES_INDEX, OUTBOX_INDEX, Aggregates, VersionConflict
from libs.events.catalogue import Catalogue
from libs.events.copies import Copies
from libs.events.event import Event
from libs.events.relay import Relay
from libs.schema import Schema

if TYPE_CHECKING:
    from libs.events.batches import handles_batches
    from libs.events.handlers import handles
    from libs.events.provider import Stored
else:

    def __getattr__(name: str) -> Any:
        """Import what loads nameko and eventlet when it is used: relays and set-ups do without it, and start sooner."""
        modules = {
            "handles": "libs.events.handlers",
            "handles_batches": "libs.events.batches",
            "Stored": "libs.events.provider",
        }
        if name not in modules:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        return getattr(import_module(modules[name]), name)


__all__ = [
    "CHANGES_INDEX",
    "OUTBOX_INDEX",
    "Aggregates",
    "Catalogue",
    "Copies",
    "Event",
    "Relay",
    "Schema",
    "Stored",
    "Unavailable",
    "VersionConflict",
    "handles",
    "handles_batches",
]
