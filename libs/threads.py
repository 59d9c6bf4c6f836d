"""Background threads of a process that may be forked: they start with its first request, not at import.

Also how a busy one lets others run.
"""

import threading
import time
from collections.abc import Callable

SHORTEST_PAUSE_SECONDS = 1e-6


def let_others_run() -> None:
    """Pause until all greenlets that are ready have had their turn; gevent and eventlet switch only when one waits."""
    time.sleep(SHORTEST_PAUSE_SECONDS)  # after 0 seconds gevent would go on before it has looked at any socket


class BackgroundThreads:
    """Daemon threads, each of which runs `run(stopping)` until the event `stopping` is set."""

    def __init__(self, name: str, *runs: Callable[[threading.Event], None]) -> None:
        self.stopping = threading.Event()
        self._name = name
        self._runs = runs
        self._started = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start once per process; the gateway calls it from each request, so that it runs after gunicorn's fork."""
        if self._started:
            return
        with self._lock:
            if not self._started:
                for run in self._runs:
                    threading.Thread(target=run, args=(self.stopping,), name=self._name, daemon=True).start()
                self._started = True
