"""Alarms for operators: a line of the log with the field `alarm`, its name, and the counter `alarms`."""

import logging
import threading

from libs.metrics import alarms

log = logging.getLogger(__name__)

EVERY = 20
"""How often something has to fail in a row before an alarm is raised, and before the next one."""


def alarm(name: str, sentence: str) -> None:
    """Log and count that an operator has to look at something."""
    log.error("ALARM %s: %s", name, sentence, extra={"alarm": name})
    alarms.labels(name).inc()


def is_alarming(failures: int) -> bool:
    """Whether so many failures in a row are cause for an alarm."""
    return failures > 0 and failures % EVERY == 0


class Repeated:
    """Counts how often something that is repeated for ever has failed in a row; each 20th time it raises an alarm."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._failures: dict[str, int] = {}
        self._lock = threading.Lock()

    def failed(self, sentence: str, which: str = "") -> None:
        """Count a failure of `which`, and perhaps raise the alarm with this sentence."""
        with self._lock:
            failures = self._failures[which] = self._failures.get(which, 0) + 1
        if is_alarming(failures):
            alarm(self.name, f"{failures} times in a row: {sentence}")

    def succeeded(self, which: str = "") -> None:
        """Forget the failures of `which`."""
        with self._lock:
            self._failures.pop(which, None)
