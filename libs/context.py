"""What travels with a piece of work: its correlation id and its deadline.

Both live in context variables, which are separate for every thread and greenlet. The correlation id is created where
work begins (a browser's request, a job, a timer) and is in every RPC header, event and log line that follows from it.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LONGEST_ID = 128

_correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def correlation_id() -> str:
    """Return the id of the current work; empty outside any work."""
    return _correlation_id.get()


def remaining_seconds(limit: float) -> float:
    """Return the seconds left to the current work, at most `limit`; zero or less once its deadline has passed."""
    deadline = _deadline.get()
    return limit if deadline is None else min(limit, deadline - time.monotonic())


@contextmanager
def work(correlation_id: str | None = None, deadline: float | None = None) -> Iterator[str]:
    """Run the block as one piece of work; `deadline` is a moment of `time.monotonic()`. Yields the correlation id.

    An id that is no text, or too long, is replaced.
    """
    is_ours = isinstance(correlation_id, str) and 0 < len(correlation_id) <= LONGEST_ID
    ident = correlation_id if is_ours and correlation_id else uuid.uuid4().hex
    id_token, deadline_token = _correlation_id.set(ident), _deadline.set(deadline)
    try:
        yield ident
    finally:
        _correlation_id.reset(id_token)
        _deadline.reset(deadline_token)
