"""Alarms of payments, which all instances count together (docs/stripe.md says what to do)."""

from typing import Protocol

from libs import alarms


class Counters(Protocol):
    """Counters that all instances share."""

    def count(self, name: str) -> None:
        """Add one."""


def alarm(counters: Counters, name: str, sentence: str) -> None:
    """Raise an alarm, and count it as `alarms_<name>`."""
    alarms.alarm(name, sentence)
    counters.count(f"alarms_{name}")
