"""A call's parameters, checked as by Stripe: against the parameter types of the real `stripe` library."""

import functools
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from stripe import RequestOptions, StripeObject
from typing_extensions import get_type_hints, is_typeddict

from dev.fake_stripe.errors import StripeError, invalid

OPTIONS = frozenset(RequestOptions.__annotations__)
INTEGER = re.compile(r"-?\d{1,15}")
# What Stripe no longer takes, and refuses with a code of its own (docs.stripe.com/changelog/endive/2026-09-30)
RETIRED = {"payment_method_types": "payment_method_types_no_longer_supported"}
METADATA_LIMITS = (50, 40, 500)  # keys, characters of a key, of a value (docs.stripe.com/api/metadata)


def decode(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return form fields such as `card[number]` and `expand[0]` as nested objects and lists of strings."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        steps = [name.split("[", 1)[0], *re.findall(r"\[([^\]]*)\]", name)]
        node = tree
        for step, following in zip(steps, steps[1:], strict=False):
            node = node.setdefault(step or str(len(node)), {})
            if not isinstance(node, dict):
                raise invalid(f"Invalid object: {name} ({following}).", param=name)
        node[steps[-1] or str(len(node))] = value
    return {name: _lists(value) for name, value in tree.items()}


def _lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    children = {name: _lists(value) for name, value in node.items()}
    if children and all(name.isdigit() for name in children):
        return [children[name] for name in sorted(children, key=int)]
    return children


def check(kind: type, values: dict[str, Any], extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the values as the types that a `stripe.params` class declares; refuse what Stripe would refuse.

    `extra` adds parameters that Stripe takes and its library does not declare (those of Stripe.js).
    """
    return _object(kind, values, "", extra or {})


@functools.cache
def fields(kind: type) -> dict[str, Any]:
    """Return the parameters of a `stripe.params` class with their types, without the library's own options."""
    hints = get_type_hints(kind, localns={"StripeContext": str, "Mapping": Mapping})  # named by OPTIONS only
    return {name: hint for name, hint in hints.items() if name not in OPTIONS}


def _object(kind: type, values: Any, path: str, extra: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise invalid("Invalid object", param=path)
    known = {**fields(kind), **extra}
    for name in values:
        if name not in known:
            where = _joined(path, name)
            raise invalid(f"Received unknown parameter: {where}", where, RETIRED.get(name, "parameter_unknown"))
    for name in sorted(_required(kind)):
        if name not in values:
            where = _joined(path, name)
            raise invalid(f"Missing required param: {where}.", param=where, code="parameter_missing")
    return {name: value(known[name], sent, _joined(path, name)) for name, sent in values.items()}


def _required(kind: type) -> frozenset[str]:
    return frozenset(getattr(kind, "__required_keys__", ())) - OPTIONS


def _joined(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def value(hint: Any, sent: Any, path: str) -> Any:
    """Return one value as its declared type, or refuse it naming its path."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), sent, path)
    if origin is Literal:
        return _choice(get_args(hint), sent, path)
    if is_typeddict(hint):
        return _object(hint, sent, path, {})
    if origin is list:
        return _list(get_args(hint)[0], sent, path)
    if origin is dict or hint is dict:
        return _metadata(sent, path)
    return _scalar(hint, sent, path)


def _one_of(hints: tuple[Any, ...], sent: Any, path: str) -> Any:
    """The library leaves lists of choices open (`Literal[…] | str`); Stripe does not."""
    clears = any(get_origin(hint) is Literal and "" in get_args(hint) for hint in hints)
    if sent == "" and clears:
        return ""
    hints = tuple(hint for hint in hints if get_args(hint) != ("",))
    choices = [hint for hint in hints if get_origin(hint) is Literal]
    tried = [hint for hint in hints if not (hint is str and choices) and not _is_answer(hint)]
    refusals: list[StripeError] = []
    for hint in sorted(tried, key=lambda hint: hint is str):
        try:
            return value(hint, sent, path)
        except StripeError as refused:
            refusals.append(refused)
    raise refusals[-1] if isinstance(sent, str) else refusals[0]


def _is_answer(hint: Any) -> bool:
    """Whether the type is one of the library's answers, which it takes back as a parameter (metadata)."""
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, StripeObject)


def _choice(choices: tuple[Any, ...], sent: Any, path: str) -> Any:
    if sent not in choices:
        words = [str(choice) for choice in choices if choice != ""]
        allowed = words[0] if len(words) == 1 else ", ".join(words[:-1]) + ", or " + words[-1]
        raise invalid(f"Invalid {path}: must be one of {allowed}", param=path)
    return sent


def _list(hint: Any, sent: Any, path: str) -> list[Any]:
    if not isinstance(sent, list):
        raise invalid("Invalid array", param=path)
    return [value(hint, one, f"{path}[{i}]") for i, one in enumerate(sent)]


def _metadata(sent: Any, path: str) -> dict[str, str]:
    if not isinstance(sent, dict) or any(not isinstance(v, str) for v in sent.values()):
        raise invalid("Invalid object", param=path)
    keys, key_length, value_length = METADATA_LIMITS
    if len(sent) > keys:
        raise invalid(f"You can specify up to {keys} keys in {path}.", param=path)
    for name, text in sent.items():
        if len(name) > key_length or len(text) > value_length:
            limits = f"keys have up to {key_length}, values up to {value_length} characters"
            raise invalid(f"Invalid {path}: {limits}.", param=path)
    return sent


def _scalar(hint: Any, sent: Any, path: str) -> Any:
    if not isinstance(sent, str):
        raise invalid(f"Invalid string: {path}", param=path)
    if sent == "":
        raise invalid(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty "
            "value.",
            param=path,
            code="parameter_invalid_empty",
        )
    if hint is bool:
        if sent not in ("true", "false"):
            raise invalid(f"Invalid boolean: {sent}", param=path)
        return sent == "true"
    if hint is int:
        if not INTEGER.fullmatch(sent):
            raise invalid(f"Invalid integer: {sent}", param=path, code="parameter_invalid_integer")
        return int(sent)
    return _number(sent, path) if hint is float else sent


def _number(sent: str, path: str) -> float:
    try:
        return float(sent)
    except ValueError:
        raise invalid(f"Invalid decimal: {sent}", param=path) from None
