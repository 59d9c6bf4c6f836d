"""Where and when sessions are used: reported to auth in batches now and then, not on each request."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from libs.contracts.limits import MAXIMUM_SESSION_DETAIL, MAXIMUM_SESSIONS_NOTED
from libs.errors import Unavailable, ignoring_unavailable, log_failure
from libs.threads import BackgroundThreads
from libs.tokens import Claims

REPORT_SECONDS = 5.0
"""How often new uses are reported."""
QUIET_SECONDS = 300.0
"""How long this process waits before it reports the same session again."""

log = logging.getLogger(__name__)


class SessionUses:
    """The uses of sessions that a process still has to report; `call(uses)` calls `auth.note_sessions`."""

    def __init__(
        self, call: Callable[[list[dict[str, Any]]], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._call = call
        self._clock = clock
        self._waiting: dict[str, dict[str, Any]] = {}
        self._quiet_until: dict[str, float] = {}
        self._lock = threading.Lock()
        self._threads = BackgroundThreads("session-uses", self._run)

    def note(self, session: Claims, device: str, address: str) -> None:
        """Note that a session is used now, unless that was noted within the last minutes."""
        if self._quiet_until.get(session.session_id, 0.0) > self._clock():
            return
        self._quiet_until[session.session_id] = self._clock() + QUIET_SECONDS
        self._waiting[session.session_id] = {
            "id": session.session_id,
            "user_id": session.subject,
            "generation": session.generation,
            "issued_at": session.issued_at,
            "expires_at": session.expires_at,
            "used_at": int(time.time()),
            "device": device[:MAXIMUM_SESSION_DETAIL],
            "address": address,
        }

    def report(self) -> None:
        """Report new uses to auth; if that fails, they are reported later. Raises what the call raises."""
        with self._lock:
            while uses := list(self._waiting.values())[:MAXIMUM_SESSIONS_NOTED]:
                for use in uses:
                    del self._waiting[use["id"]]
                self._report(uses)
            now = self._clock()
            self._quiet_until = {known: until for known, until in self._quiet_until.items() if until > now}

    def _report(self, uses: list[dict[str, Any]]) -> None:
        """Report these; they are kept only while auth is unavailable, as a refused one must not hold up others."""
        try:
            self._call(uses)
        except Unavailable:
            self._waiting = {use["id"]: use for use in uses} | self._waiting
            raise

    def start(self) -> None:
        """Start reporting, once per process."""
        self._threads.start()

    def stop(self) -> None:
        """Stop reporting."""
        self._threads.stopping.set()

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(REPORT_SECONDS):
            try:
                with ignoring_unavailable():
                    self.report()
            except Exception as error:  # noqa: BLE001 - this thread must not end
                log_failure(log, error, "the uses of sessions could not be reported to auth")
