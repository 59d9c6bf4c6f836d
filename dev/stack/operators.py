"""The operators of a stack: each has a signing key in the stack's folder, whose public half is in auth's database."""

from contextlib import closing
from pathlib import Path

from auth.operator_store import OperatorStore
from dev.stack.layout import Layout
from libs.database import connect
from ops import operators


class NoOperator(Exception):
    """Nobody of this name operates the stack; the message says how to change that."""


def make_operator(stack: Layout, name: str) -> str:
    """Make a new key for `name`, who may operate from now on by this key alone; return its private half."""
    operators.check_name(name)
    path = _path(stack, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    public = operators.make_key(name, path)
    database = connect(stack.mongo_url("auth"))
    with closing(database.client):
        operators.add(OperatorStore(database), public)
    return signing_key(stack, name)


def own_key(stack: Layout, name: str) -> str:
    """Return the private half of an operator's key, who is made one first if need be; for tests and benchmarks."""
    return signing_key(stack, name) if _path(stack, name).exists() else make_operator(stack, name)


def signing_key(stack: Layout, name: str) -> str:
    """Return the private half of an operator's key; raise NoOperator."""
    try:
        return _path(stack, name).read_text().strip()
    except OSError as error:
        raise NoOperator(f"{name} does not operate this stack: `make operator NAME={name}` changes that") from error


def _path(stack: Layout, name: str) -> Path:
    return stack.folder / "operators" / f"{name}.key"
