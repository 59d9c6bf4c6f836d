"""One format for every log line of every process, with the correlation id of the work that wrote it."""

import logging
import sys
import time
from typing import TextIO

from libs.context import correlation_id
from libs.settings import log_level

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
    logging.basicConfig(level=log_level(), handlers=[ConsoleHandler()], force=True)
