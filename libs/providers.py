"""What nameko gives a service, beside what `libs.events` and `libs.rpc` have."""

from collections.abc import Callable
from typing import Any

from nameko.extensions import DependencyProvider

from libs.settings import parsed


class Setting(DependencyProvider):
    """What `parse` makes of the setting `name` of config.yml, once at the start, which a wrong one stops.

    `form` describes the setting to whoever has to correct it.
    """

    def __init__(self, name: str, parse: Callable[[str], Any] = str, form: str = "TEXT") -> None:
        self.name = name
        self.parse = parse
        self.form = form

    def setup(self) -> None:
        """Read the setting."""
        self.value = parsed(self.name, self.parse, self.form, self.container.config, self.container.service_name)

    def get_dependency(self, worker_ctx: Any) -> Any:
        """Return what was made of it."""
        return self.value
