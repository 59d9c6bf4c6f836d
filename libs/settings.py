"""Settings come from the environment, once; what is missing, a placeholder or malformed stops the start."""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")

KEY_FORM = "ISSUER:NUMBER=BASE64, of 32 bytes"
MONGO_FORM = "mongodb://HOST:PORT/DATABASE"
REDIS_FORM = "redis://HOST:PORT/"

PLACEHOLDERS = ("secret", "password", "todo", "xxx", "dev", "test")
"""Values that nobody means; those of the next line are not meant wherever they stand, as in an address."""
PLACEHOLDER_PARTS = re.compile("change[-_]?me|placeholder|replace[-_]?me|<.*>", re.IGNORECASE)


class MissingSetting(SystemExit):
    """A required setting is unset, empty, a placeholder or malformed; the message says what to set."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} is {problem}: set it in the environment (docs/settings.md says how).")


def required(name: str, settings: Mapping[str, Any] | None = None) -> str:
    """Return the setting `name`; stop the program with a sentence when it is unset, empty or a placeholder."""
    value = str((os.environ if settings is None else settings).get(name) or "")
    if not value.strip():
        raise MissingSetting(variable(name), "not set")
    if value.strip().lower() in PLACEHOLDERS or value.startswith("${") or PLACEHOLDER_PARTS.search(value):
        raise MissingSetting(variable(name), "still a placeholder")
    return value


def parsed(name: str, parse: Callable[[str], Value], form: str, settings: Mapping[str, Any] | None = None) -> Value:
    """Return what `parse` makes of the setting `name`; stop the program with a sentence when it raises ValueError.

    The sentence says which `form` the setting has, and shows nothing of it, as most settings of some form are secret.
    """
    value = required(name, settings)
    try:
        return parse(value)
    except ValueError as error:
        raise MissingSetting(variable(name), f"not of the form {form}") from error


def integer(text: str, minimum: int = 1) -> int:
    """Return the whole number in `text`; raise ValueError when it is none, or less than `minimum`."""
    number = int(text)
    if number < minimum:
        raise ValueError(text)
    return number


def variable(name: str, command: Sequence[str] | None = None) -> str:
    """Return the environment variable of the setting `name`: another one where a service's config.yml says so.

    `command`: this program's command line, `nameko run --config orders/config.yml …`.
    """
    for path in map(Path, sys.argv if command is None else command):
        if path.suffix == ".yml" and path.is_file():
            found = re.search(rf"^{re.escape(name)}: \$\{{(\w+)", path.read_text(), re.MULTILINE)
            if found:
                return found[1]
    return name
