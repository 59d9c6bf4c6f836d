"""A setting of a service that is a whole number."""

from typing import Any

from nameko.extensions import DependencyProvider

from libs.settings import integer, parsed


class IntegerSetting(DependencyProvider):
    """The setting `name` of config.yml, a whole number from 1; anything else stops the start."""

    def __init__(self, name: str) -> None:
        self.name = name

    def setup(self) -> None:
        """Read the setting."""
        self.number = parsed(self.name, integer, "NUMBER, from 1", self.container.config)

    def get_dependency(self, worker_ctx: Any) -> int:
        """Return the number."""
        return self.number
