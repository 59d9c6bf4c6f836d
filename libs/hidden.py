"""Importing a library without what it would load for itself where that is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(name: str) -> Iterator[None]:
    """Let imports of a module fail meanwhile, as if it was not installed; one that is imported already stays so."""
    found = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # Python then raises ImportError
    try:
        yield
    finally:
        del sys.modules[name]
        if found:
            sys.modules[name] = found
