"""Alarms for operators: each is a line of the log whose field `alarm` is its name, and is counted by a metric."""

import logging
import threading

from libs.metrics import alarms

log = logging.getLogger(__name__)

ALARM_EVERY = 20
"""After how many failures in a row an alarm is raised, and after how many more the next one."""


def alarm(name: str, sentence: str) -> None:
    """Raise an alarm: log and count that an operator has to look at something."""
    log.error("ALARM %s: %s", name, sentence, extra={"alarm": name})
    alarms.labels(name).inc()


def is_alarming(failures: int) -> bool:
    """Whether this many failures in a row raise an alarm."""
    return failures > 0 and failures % ALARM_EVERY == 0


class FailureStreak:
    """Counts the failures in a row of something that is retried without limit; every 20th raises an alarm."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._failures: dict[str, int] = {}
        self._lock = threading.Lock()

    def failed(self, sentence: str, which: str = "") -> None:
        """Count a failure of `which`; raise the alarm with this sentence if it is due."""
        with self._lock:
            failures = self._failures[which] = self._failures.get(which, 0) + 1
        if is_alarming(failures):
            alarm(self.name, f"{failures} times in a row: {sentence}")

    def succeeded(self, which: str = "") -> None:
        """Forget the failures of `which`."""
        with self._lock:
            self._failures.pop(which, None)
