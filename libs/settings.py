"""Settings come from the environment, once; what is missing, a placeholder or malformed stops the start."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

KEY_FORM = "ISSUER:NUMBER=BASE64, of 32 bytes"
MONGO_FORM = "mongodb://HOST:PORT/DATABASE"
REDIS_FORM = "redis://HOST:PORT/"
INTEGER_FORM = "NUMBER, from 1"

PLACEHOLDERS = ("secret", "password", "todo", "xxx", "dev", "test")
"""Values that are placeholders; those of the next line are so as a part of a value too, as in an address."""
PLACEHOLDER_PARTS = re.compile(r"change[-_]?me|placeholder|replace[-_]?me|<.*>|^\$\{", re.IGNORECASE)
VARIABLES = {"AMQP_URI": "AMQP_URL", "MONGO_URL": "MONGO_URL", "SIGNING_KEY": "SIGNING_KEY"}
"""What each service has of its own: in its config.yml `MONGO_URL`, in the environment `ORDERS_MONGO_URL`."""


class MissingSetting(SystemExit):
    """A required setting is unset, empty, a placeholder or malformed; the message names the variable to set."""

    def __init__(self, name: str, problem: str, service: str = "") -> None:
        variable = f"{service.upper()}_{VARIABLES[name]}" if service and name in VARIABLES else name
        super().__init__(f"{variable} is {problem}: set it in the environment (docs/settings.md says how).")


def required(name: str, settings: Mapping[str, Any] | None = None, service: str = "") -> str:
    """Return the setting `name`, by default of the environment; stop the program when it is unset or a placeholder.

    `service`: the one whose config.yml the `settings` are, so that the message can name the environment's variable.
    """
    value = str((os.environ if settings is None else settings).get(name) or "")
    if not value.strip():
        raise MissingSetting(name, "not set", service)
    if value.strip().lower() in PLACEHOLDERS or PLACEHOLDER_PARTS.search(value):
        raise MissingSetting(name, "still a placeholder", service)
    return value


def parsed(
    name: str,
    parse: Callable[[str], Value],
    form: str,
    settings: Mapping[str, Any] | None = None,
    service: str = "",
) -> Value:
    """Return what `parse` makes of the setting `name`; stop the program when it raises ValueError.

    The message says which `form` the setting has, and nothing of its value, which may be a secret. `settings` and
    `service` are those of `required`.
    """
    value = required(name, settings, service)
    try:
        return parse(value)
    except ValueError as error:
        raise MissingSetting(name, f"not of the form {form}", service) from error


def integer(text: str, minimum: int = 1) -> int:
    """Return the integer in `text`; raise ValueError when it is none, or less than `minimum`."""
    number = int(text)
    if number < minimum:
        raise ValueError(text)
    return number
