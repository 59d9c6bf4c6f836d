"""The list of the operators' verbs, from which the shell and the command line are made.

A verb is a function whose first parameter is the client; the others are its arguments: text, integers, or `Ids`. It
returns JSON values. A verb that changes something asks for confirmation, unless `yes=True` is given.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.shell.operator_client import OperatorClient
from ops.shell.output import displayable

Ids = str | list[str] | None
"""An id, several, or None for any."""


class NotConfirmed(Exception):
    """A change was not confirmed."""


@dataclass(frozen=True)
class Verb:
    """One verb: its function, the group in which it is listed, and whether it changes anything."""

    function: Callable[..., Any]
    group: str
    changes: bool

    @property
    def name(self) -> str:
        """Its name in the shell."""
        return self.function.__name__

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters that an operator gives."""
        return list(inspect.signature(self.function).parameters.values())[1:]

    @property
    def summary(self) -> str:
        """Its summary, in a line."""
        return (self.function.__doc__ or "").partition("\n")[0].rstrip(".")

    @property
    def usage(self) -> str:
        """Its call in the shell."""
        return f"{self.name}({', '.join(str(each).partition(':')[0] + _default(each) for each in self.parameters)})"


VERBS: dict[str, Verb] = {}


def verb(group: str, *, changes: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a function to the verbs."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        VERBS[function.__name__] = Verb(function, group, changes)
        return function

    return add


def bound(each: Verb, client: OperatorClient) -> Callable[..., Any]:
    """Return a verb as operators call it, without its parameter `client`."""
    signature = inspect.signature(each.function)

    @functools.wraps(each.function)
    def call(*arguments: Any, yes: bool = False, **named: Any) -> Any:
        given = signature.bind(client, *arguments, **named)
        check(each.parameters, given.arguments)
        if each.changes and not yes:
            confirm(each.name, ", ".join(repr(value) for value in (*given.args[1:], *given.kwargs.values())))
        return displayable(each.function(*given.args, **given.kwargs))

    kept = list(signature.parameters.values())[1:]
    call.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return call


def check(parameters: list[inspect.Parameter], given: Mapping[str, Any]) -> None:
    """Raise TypeError when an argument is not the text, or the whole number, that it has to be."""
    for parameter in parameters:
        value = given.get(parameter.name, parameter.default)
        values = value if parameter.kind is parameter.VAR_POSITIONAL else [value]
        kind = {str: "text", int: "a whole number"}.get(parameter.annotation)
        if kind and parameter.name in given and not all(isinstance(each, parameter.annotation) for each in values):
            raise TypeError(f"{parameter.name} must be {kind}, not {value!r}")


def confirm(name: str, said: str) -> None:
    """Ask for confirmation of a call with these arguments; raise NotConfirmed."""
    if not sys.stdin.isatty():
        raise NotConfirmed(f"{name} changes something and nobody can be asked: say yes=True (--yes)")
    print(f"{name}({said})? [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        answer = input()
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise NotConfirmed("nothing was changed")


def _default(parameter: inspect.Parameter) -> str:
    return "" if parameter.default is parameter.empty else f"={parameter.default!r}"


def helpdesk(name: str = "") -> None:
    """Print a list of all verbs, or everything about one."""
    if name:
        if name not in VERBS:
            raise ValueError(f"there is no verb {name}: helpdesk() lists all")
        each = VERBS[name]
        print(f"{each.usage}{', yes=True to change it without being asked' if each.changes else ''}")
        print(inspect.getdoc(each.function))
        return
    for group in dict.fromkeys(each.group for each in VERBS.values()):
        print(f"\n{group}")
        for each in VERBS.values():
            if each.group == group:
                print(f"  {each.usage:<58} {each.summary}")
    print(
        "\nhelpdesk('find') says more of one; as_json(…) prints JSON. orders.snapshot(order_id='…') calls any method;"
        "\none that changes something asks first, too, unless yes=True is among its arguments."
    )
