"""Tells auth once which keys sign the cookies here; auth remembers those of the last start, and logs a rotation."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from libs.errors import is_unavailable, log_failure
from libs.fingerprints import fingerprint

AGAIN_SECONDS = 5.0

log = logging.getLogger(__name__)


class KeyNotes:
    """The keys that a process still has to tell auth of; `tell(fingerprints)` calls `auth.note_keys`."""

    def __init__(self, keys: Sequence[str], tell: Callable[[list[str]], Any]) -> None:
        self._keys = keys
        self._tell = tell
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Tell auth, in a thread; call it from a request, so that it runs after gunicorn's fork."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.tell, name="key-notes", daemon=True)
            self._thread.start()

    def tell(self) -> None:
        """Tell auth, as soon as it answers."""
        fingerprints = [fingerprint(key) for key in self._keys]
        while not self._is_told(fingerprints):
            time.sleep(AGAIN_SECONDS)

    def _is_told(self, fingerprints: list[str]) -> bool:
        """Return whether auth was told, or will never understand it."""
        try:
            self._tell(fingerprints)
        except Exception as error:  # noqa: BLE001 - whatever it is, the gateway goes on
            if is_unavailable(error):
                return False
            log_failure(log, error, "auth was not told which keys sign cookies")
        return True
