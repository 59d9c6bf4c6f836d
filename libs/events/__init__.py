"""Events with at-least-once delivery: catalogue, outbox and relay, versioned copies, retries with backoff, parking.

Guaranteed: an event whose change was saved reaches every listener that the catalogue names at least once, whatever
crashes. Not guaranteed: exactly once, or in order. So each event is a whole snapshot with its version, and a listener
keeps the newest. docs/events.md has every guarantee, and a complete service in ten lines.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from libs.errors import Unavailable
from libs.events.catalogue import Catalogue
from libs.events.event import Event

if TYPE_CHECKING:
    from libs.events.aggregates import CHANGES_INDEX, OUTBOX_INDEX, Aggregates, VersionConflict, retry_on_conflict
    from libs.events.batches import Batch, handles_batches
    from libs.events.copies import Copies
    from libs.events.handlers import handles
    from libs.events.provider import StoreProvider
    from libs.events.relay import Relay
    from libs.schema import Schema
else:
    MODULES = {
        **dict.fromkeys(
            ("CHANGES_INDEX", "OUTBOX_INDEX", "Aggregates", "VersionConflict", "retry_on_conflict"),
            "libs.events.aggregates",
        ),
        "Batch": "libs.events.batches",
        "Copies": "libs.events.copies",
        "Relay": "libs.events.relay",
        "Schema": "libs.schema",
        "StoreProvider": "libs.events.provider",
        "handles": "libs.events.handlers",
        "handles_batches": "libs.events.batches",
    }

    def __getattr__(name: str) -> Any:
        """Import lazily what loads nameko or pymongo: a program that only needs the events loads neither."""
        if name not in MODULES:
            raise AttributeError(f"module {__name__} has no attribute {name}")
        return getattr(import_module(MODULES[name]), name)


__all__ = [
    "CHANGES_INDEX",
    "OUTBOX_INDEX",
    "Aggregates",
    "Batch",
    "Catalogue",
    "Copies",
    "Event",
    "Relay",
    "Schema",
    "StoreProvider",
    "Unavailable",
    "VersionConflict",
    "handles",
    "handles_batches",
    "retry_on_conflict",
]
