"""Sessions that ended before their token did: what this process knows of them, and whether that is up to date."""

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

GRACE_SECONDS = 2.0


class Revocations:
    """Answers whether a session was revoked; while it may be out of date, asks auth instead of guessing.

    `ask(session_id)` asks auth and may raise ServiceUnavailable, which refuses the request: it never opens.
    """

    def __init__(self, ask: Callable[[str], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._ended: dict[str, float] = {}
        self._current_until = 0.0
        self._lock = threading.Lock()

    def is_revoked(self, session_id: str) -> bool:
        """Return whether the session was ended; raise ServiceUnavailable when nobody can tell."""
        if session_id in self._ended:
            return True
        if self._clock() <= self._current_until:
            return False
        return self._ask(session_id)

    def add(self, session_id: str, expires_at: float) -> None:
        """Remember a revoked session until its token would have ended by itself."""
        with self._lock:
            self._ended[session_id] = expires_at
            for ended in [known for known, until in self._ended.items() if until < time.time()]:
                del self._ended[ended]

    def load(self, sessions: Iterable[dict[str, Any]]) -> None:
        """Add the list that auth keeps: `[{"id": …, "expires_at": ISO 8601}]`."""
        for revoked in sessions:
            self.add(revoked["id"], timestamp(revoked["expires_at"]))

    def confirm(self) -> None:
        """Say that everything published until now has arrived; good for two seconds."""
        self._current_until = self._clock() + GRACE_SECONDS


def timestamp(moment: str | float) -> float:
    """Return seconds since 1970 of an ISO 8601 time."""
    if isinstance(moment, int | float):
        return float(moment)
    return datetime.fromisoformat(moment).timestamp()
