"""Settings come from the environment, once; what is missing or still a placeholder stops the start."""

import os
from collections.abc import Mapping
from typing import Any

PLACEHOLDERS = ("changeme", "change-me", "placeholder", "secret", "password", "todo", "xxx", "dev", "test")


class MissingSetting(SystemExit):
    """A required setting is unset, empty or a placeholder; the message says what to set."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} is {problem}: set it in the environment (docs/settings.md says how).")


def required(name: str, settings: Mapping[str, Any] | None = None) -> str:
    """Return the setting `name`; stop the program with a sentence when it is unset, empty or a placeholder."""
    value = (os.environ if settings is None else settings).get(name)
    if value is None or not str(value).strip():
        raise MissingSetting(name, "not set")
    if str(value).strip().lower() in PLACEHOLDERS or str(value).startswith("${"):
        raise MissingSetting(name, "still a placeholder")
    return str(value)
