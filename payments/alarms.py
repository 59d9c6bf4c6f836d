"""Alarms for operators: one line `ALARM <name>: <sentence>` in the log (docs/stripe.md says what to do)."""

import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Counters(Protocol):
    """Counters that all instances share."""

    def count(self, name: str) -> None:
        """Add one."""


def alarm(counters: Counters, name: str, sentence: str) -> None:
    """Log that an operator has to look at something, and count it as `alarms_<name>`."""
    log.error("ALARM %s: %s", name, sentence)
    counters.count(f"alarms_{name}")
