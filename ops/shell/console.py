"""The shell's own console: it completes names by the tab key, and works in a pipe as in a terminal."""

import code
import sys
import traceback
from contextlib import suppress
from typing import Any

from libs.rpc import RemoteError, ServiceUnavailable
from ops.shell.internals import CannotRestart
from ops.shell.output import as_json
from ops.shell.verbs import NotConfirmed

EXPECTED = (
    *(RemoteError, ServiceUnavailable, NotConfirmed, CannotRestart),
    *(ValueError, TypeError, KeyError, OverflowError),
)
"""Errors whose message suffices."""


class Console(code.InteractiveConsole):
    """Reads and runs statements; it carries on after an error, and `has_failed` is whether there was one."""

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__(names)
        self.has_failed = False

    def run(self, banner: str) -> None:
        """Run until the user leaves, or the pipe ends."""
        if sys.stdin.isatty():
            _complete(self.locals)
            self.interact(banner, exitmsg="")
            return
        sys.displayhook = _display
        try:
            self.interact("", exitmsg="")
        except SystemExit as left:
            if left.code:
                raise  # exit() alone ends like the end of the pipe

    def raw_input(self, prompt: str = "") -> str:
        """Return the next line; in a pipe without a prompt."""
        if sys.stdin.isatty():
            return super().raw_input(prompt)
        line = sys.stdin.readline()
        if line or (self.buffer and self.buffer[-1]):  # a block ends with the pipe as with an empty line
            return line.rstrip("\n")
        if self.buffer:
            self.has_failed = True
            print("SyntaxError: the last statement is not complete: it was not run", file=sys.stderr)
        raise EOFError

    def showtraceback(self) -> None:
        """Print an error: only its message when that suffices."""
        self.has_failed = True
        error = sys.exc_info()[1]
        if isinstance(error, EXPECTED):
            print(error_message(error), file=sys.stderr)
        else:
            traceback.print_exception(error, file=sys.stderr)

    def showsyntaxerror(self, *_arguments: Any, **_named: Any) -> None:
        """Print a syntax error; Python's own console leaves that to `sys.excepthook`, which logs it here."""
        self.has_failed = True
        error = sys.exc_info()[1]
        traceback.print_exception(error and error.with_traceback(None), file=sys.stderr)


def error_message(error: BaseException) -> str:
    """Return an error as a line."""
    return str(error) if isinstance(error, RemoteError) else f"{type(error).__name__}: {error}"


def _display(value: Any) -> None:
    """Print the value of an expression: as JSON if Python writes it differently, like the answers of verbs."""
    if isinstance(value, (bool, str)):
        print(as_json(value))
    else:
        sys.__displayhook__(value)


def _complete(names: Any) -> None:
    with suppress(ImportError):
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
