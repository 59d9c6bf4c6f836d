"""Injected faults (POST /_control/faults): the next `count` (1) matching API requests go wrong.

`method` and `path` are patterns, `*` by default; the first that matches is applied. Faults are kept in memory.

| kind | effect |
| --- | --- |
| slow | the answer comes `seconds` (1) late, or once all faults are cleared; the idempotency key is in use meanwhile |
| error | answered with `status` (500), `type`, `code`, `decline_code`, `message` instead of being executed |
| error with `executed: true` | executed, and answered with the error all the same |
| lost_reply | executed, then the connection is closed without an answer |

An error's reply is kept for its idempotency key (and replayed, as Stripe does with its 500s) if it was executed, or
with `stored: true`.
"""

import fnmatch
import threading
from dataclasses import asdict, dataclass
from typing import Any

from dev.fake_stripe.errors import StripeError

KINDS = ("slow", "error", "lost_reply")


@dataclass
class Fault:
    """One injected fault; see the table above."""

    kind: str
    path: str = "*"
    method: str = "*"
    count: int | None = 1
    seconds: float = 1.0
    status: int = 500
    type: str = "api_error"
    code: str | None = None
    decline_code: str | None = None
    param: str | None = None
    message: str = "An unknown error occurred (injected by a control of the fake Stripe)."
    executed: bool = False
    stored: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")

    @property
    def error(self) -> StripeError:
        """The reply of an `error`."""
        kept = self.executed if self.stored is None else self.stored
        details = {"code": self.code, "decline_code": self.decline_code, "param": self.param}
        return StripeError(self.status, self.type, self.message, executed=kept, **details)


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: list[Fault] = []
        self._cleared = threading.Event()

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        with self._lock:
            self._orders.append(fault)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that applies to this request, and count it."""
        with self._lock:
            for fault in self._orders:
                if fault.count != 0 and fnmatch.fnmatch(method, fault.method) and fnmatch.fnmatch(path, fault.path):
                    fault.count = None if fault.count is None else fault.count - 1
                    return fault
        return None

    def delay(self, seconds: float) -> None:
        """Return after so many seconds, or as soon as the faults are cleared."""
        with self._lock:
            cleared = self._cleared
        cleared.wait(seconds)

    def clear(self) -> None:
        """Remove every fault."""
        with self._lock:
            self._orders = []
            self._cleared.set()
            self._cleared = threading.Event()

    def report(self) -> list[dict[str, Any]]:
        """Return the faults that are still to happen."""
        with self._lock:
            return [asdict(fault) for fault in self._orders if fault.count != 0]
