"""The services as operators call them by themselves, without a verb."""

from collections.abc import Callable, Collection
from typing import Any

from ops.shell.methods import METHODS, is_look_up
from ops.shell.operator_client import Service
from ops.shell.output import displayable
from ops.shell.verbs import confirm


class Direct:
    """One service, whose methods are called with their arguments' names.

    `orders.snapshot(order_id=…)` is a look-up; any other method asks first, as verbs do, unless `yes=True` is given.
    """

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._name = name

    def __dir__(self) -> Collection[str]:
        return METHODS[self._name]

    def __getattr__(self, method: str) -> Callable[..., Any]:
        """Return the method as a function of keyword arguments."""
        call, name = getattr(self._service, method), f"{self._name}.{method}"

        def confirmed_call(*, yes: bool = False, **arguments: Any) -> Any:
            if not yes and not is_look_up(name):
                confirm(name, ", ".join(f"{each}={value!r}" for each, value in arguments.items()))
            return displayable(call(**arguments))

        return confirmed_call
