"""One format for every log line of every process, with the correlation id of the work that wrote it."""

import logging
import os
import sys
import time
from typing import TextIO

from libs.context import correlation_id

FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s [%(correlation_id)s] %(message)s"


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes lines to standard error."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the correlation id of the work that wrote it."""
        record.correlation_id = correlation_id() or "-"
        return super().format(record)


def set_up() -> None:
    """Send this process's log to standard error in the common format, from LOG_LEVEL on."""
    level = os.environ.get("LOG_LEVEL") or "INFO"
    logging.basicConfig(level=level.upper(), handlers=[ConsoleHandler()], force=True)
