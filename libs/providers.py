"""Dependency providers other than those of `libs.events` and `libs.rpc`."""

from collections.abc import Callable
from typing import Any

from nameko.extensions import DependencyProvider

from libs.settings import parsed


class Setting(DependencyProvider):
    """The setting `name` of config.yml, parsed once at the start; with an invalid value the service does not start.

    `form` describes a valid value in the message.
    """

    def __init__(self, name: str, parse: Callable[[str], Any] = str, form: str = "TEXT") -> None:
        self.name = name
        self.parse = parse
        self.form = form

    def setup(self) -> None:
        """Read the setting."""
        self.value = parsed(self.name, self.parse, self.form, self.container.config, self.container.service_name)

    def get_dependency(self, worker_ctx: Any) -> Any:
        """Return the parsed value."""
        return self.value
