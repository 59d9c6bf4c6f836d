"""Reports to auth, once, which keys sign cookies here; auth compares them with the last start and logs a rotation."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from libs.errors import is_unavailable, log_failure
from libs.fingerprints import fingerprint
from libs.threads import BackgroundThreads

RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class KeyReport:
    """Reports the keys of this process; `call(fingerprints)` calls `auth.note_keys`."""

    def __init__(self, keys: Sequence[str], call: Callable[[list[str]], Any]) -> None:
        self._keys = keys
        self._call = call
        self._threads = BackgroundThreads("key-report", lambda _stopping: self.report())

    def start(self) -> None:
        """Report, in a thread, once per process."""
        self._threads.start()

    def report(self) -> None:
        """Report the keys as soon as auth answers."""
        fingerprints = [fingerprint(key) for key in self._keys]
        while not self._has_reported(fingerprints):
            time.sleep(RETRY_SECONDS)

    def _has_reported(self, fingerprints: list[str]) -> bool:
        """Return whether auth has the report, or will never accept it."""
        try:
            self._call(fingerprints)
        except Exception as error:  # noqa: BLE001 - whatever it is, the gateway goes on
            if is_unavailable(error):
                return False
            log_failure(log, error, "the keys that sign cookies could not be reported to auth")
        return True
