"""A dictionary of bounded size, for what a process remembers of its visitors."""

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(OrderedDict[Key, Value]):
    """A dictionary that keeps the `most` keys that were set last."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: Key, value: Value) -> None:
        self.pop(key, None)  # moving it to the end would fail if another thread removed it meanwhile
        super().__setitem__(key, value)
        if len(self) > self._most:
            self.popitem(last=False)
