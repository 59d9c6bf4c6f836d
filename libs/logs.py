"""The log of every program, on standard error: each line with its time, its correlation id, and nothing unescaped.

LOG_FORMAT chooses how it is written: as one JSON object a line, or as text for people. Whatever comes from outside (a
path, an email, the text of an error) can neither begin a line, nor move the cursor of a terminal, nor show a password
of an address.
"""

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

from libs.context import correlation_id
from libs.errors import needs_traceback
from libs.settings import log_format, log_level

FIELDS = {
    "asctime": "time",
    "levelname": "level",
    "name": "logger",
    "correlation_id": "correlation_id",
    "message": "message",
}
EXCEPTION = "exception"
SERVERS = {"pymongo": "_MONGO_URL", "redis": "_REDIS_URL", "amqp": "_AMQP_URL", "kombu": "_AMQP_URL"}
"""The suffixes of the settings with a server's address, by the library that connects to it."""
encode = json.JSONEncoder(default=str).encode
PASSWORD = re.compile(r"(?<=://)([^\s/@\"']*?:)(?!PASSWORD@)[^\s/@\"']+@")
"""In an address, such as that of RabbitMQ in the text of an error; but not in the form of one."""


class Json(JsonFormatter):
    """Writes a record as one JSON object in ASCII: `json` escapes everything else, lone surrogates too."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(list(FIELDS), rename_fields={**FIELDS, "exc_info": EXCEPTION})

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the correlation id of the work that wrote it, unless the record has another."""
        if not hasattr(record, "correlation_id"):
            record.correlation_id = correlation_id()
        return without_passwords(super().format(record))


class Text(Json):
    """Writes a record as `<time> <level> <logger> [<correlation id>] <message> <field>=<JSON>...`.

    Only the lines of a traceback follow it, each indented.
    """

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the line."""
        moment, level, logger, ident, message = (str(log_data.pop(name)) for name in FIELDS.values())
        exception = str(log_data.pop(EXCEPTION, ""))
        fields = "".join(f" {name}={encode(value)}" for name, value in log_data.items())
        line = printable(f"{moment} {level} {logger} [{ident or '-'}] {message}{fields}")
        return "\n    ".join([line, *map(printable, exception.splitlines())])


def without_passwords(text: str) -> str:
    """Return the text with *** in place of the password of each address in it."""
    return PASSWORD.sub(r"\1***@", text) if "://" in text else text


def printable(text: str) -> str:
    """Return the text with an escape in place of each character that is not printable, such as ESC or U+2028."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def formatter() -> logging.Formatter:
    """Return the formatter that LOG_FORMAT names."""
    return {"json": Json, "text": Text}[log_format()]()


class ConsoleHandler(logging.StreamHandler[TextIO]):
    """Writes lines to standard error, in the format that LOG_FORMAT names."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(formatter())


def set_up() -> None:
    """Send this process's log to standard error from LOG_LEVEL on, with Python's warnings and uncaught exceptions."""
    logging.basicConfig(level=log_level(), handlers=[ConsoleHandler()], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    if threading.excepthook is threading.__excepthook__:  # else they are already shown, as by pytest
        threading.excepthook = lambda failed: _log_uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)


def run(main: Callable[[], None]) -> None:
    """Run a program with its log set up; what ends it is logged, too."""
    with logging_exit():
        set_up()
        main()


@contextmanager
def logging_exit() -> Iterator[None]:
    """Log the message with which the block ends the program (SystemExit), instead of printing it."""
    try:
        yield
    except SystemExit as refusal:
        if isinstance(refusal.code, str):
            logging.getLogger(__name__).critical(refusal.code)
            refusal.code = 1
        raise


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: Any) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), trace)
    elif not issubclass(kind, SystemExit):
        error = error or kind()
        if needs_traceback(error):
            logging.getLogger(__name__).critical("uncaught", exc_info=(kind, error, trace))
        else:
            logging.getLogger(__name__).critical("%s: %s%s", kind.__name__, error, _addresses(error))


def _addresses(error: BaseException) -> str:
    """Return, in brackets, the settings with the address of the server whose library raised an error."""
    ending = SERVERS.get(type(error).__module__.partition(".")[0])
    found = sorted(name for name in os.environ if ending and name.endswith(ending))
    return f" ({', '.join(found)})" if found else ""
