"""The operators of a stack: each has a signing key in the stack's folder, whose public half is in auth's database."""

from contextlib import closing
from pathlib import Path

from auth.operator_store import OperatorStore
from dev.stack.layout import Layout
from libs.database import connect
from ops import operators


class NoOperator(Exception):
    """There is no operator of this name; the message says how to add one."""


def make_operator(stack: Layout, name: str) -> str:
    """Make a new key for the operator `name`, the only one accepted from now on; return its private half."""
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
    """Return the private half of an operator's key, adding the operator if needed; for tests and benchmarks."""
    return signing_key(stack, name) if _path(stack, name).exists() else make_operator(stack, name)


def signing_key(stack: Layout, name: str) -> str:
    """Return the private half of an operator's key; raise NoOperator."""
    try:
        return _path(stack, name).read_text().strip()
    except OSError as error:
        raise NoOperator(f"{name} does not operate this stack: `make operator NAME={name}` changes that") from error


def _path(stack: Layout, name: str) -> Path:
    return stack.folder / "operators" / f"{name}.key"
