"""Importing a library without an optional dependency that it would load if that is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """Make imports of a module fail in the block, as if it was not installed; one that is already imported stays so."""
    found = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # Python then raises ImportError
    try:
        yield
    finally:
        del sys.modules[name]
        if found:
            sys.modules[name] = found
