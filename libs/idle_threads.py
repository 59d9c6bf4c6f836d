"""pymongo's background threads, woken only when there is something to do; in pymongo they poll twice a second.

Each client has three of them. That takes 0.8 to 1.0 of the 1.3 to 2.4 CPU-ms a second that a program with a
client and eventlet uses at rest; six programs of the system have a client, so that is 5 to 6 CPU-ms a second in all.
"""

import threading
import time
from typing import Any

from pymongo import common, periodic_executor

CURSORS_SECONDS = 5
"""How often cursors that were not read to their end are closed, and connections that have been idle for too long."""


class Executor(periodic_executor.PeriodicExecutor):
    """Calls its target every `interval` seconds, and when woken, but not twice within `min_interval` seconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._changed = threading.Condition()  # reentrant: while a thread has it, garbage may be collected there, too

    def wake(self) -> None:
        """Have the target called soon."""
        with self._changed:
            super().wake()
            self._changed.notify_all()

    def close(self, dummy: Any = None) -> None:
        """Stop."""
        with self._changed:
            super().close(dummy)
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._should_stop():
            began = time.monotonic()
            try:
                if not self._target():
                    self._stopped = True
                    break
            except BaseException:
                with self._lock:
                    self._stopped = True
                    self._thread_will_exit = True
                raise
            if self._skip_sleep:
                self._skip_sleep = False
            else:
                self._sleep(began + self._min_interval)
            self._event = False

    def _sleep(self, until: float) -> None:
        """Return when the target is due, or when it has been asked for and `until` has come."""
        with self._changed:
            if self._changed.wait_for(lambda: self._event or self._stopped, self._interval):
                self._changed.wait_for(lambda: self._stopped, until - time.monotonic())


periodic_executor.PeriodicExecutor = Executor  # type: ignore[misc]
common.KILL_CURSOR_FREQUENCY = CURSORS_SECONDS
