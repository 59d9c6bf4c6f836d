"""Alarms of payments, which all instances count together (for what to do see docs/stripe.md)."""

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
