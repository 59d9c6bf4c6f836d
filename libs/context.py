"""The context of a piece of work: its correlation id, its deadline and the client that it is done for.

All are context variables, which are separate for every thread and greenlet. The correlation id is created where work
begins (a browser's request, a job, a timer) and is in every RPC header, event and log line that follows from it. The
client is the network address of whoever began the work, as reported by the calling program: only for the log.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LONGEST_ID = 128
LONGEST_CLIENT = 128

_correlation_id: ContextVar[str] = ContextVar("correlation_id", default="")
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_client: ContextVar[str] = ContextVar("client", default="")


def correlation_id() -> str:
    """Return the id of the current work; empty outside any work."""
    return _correlation_id.get()


def client() -> str:
    """Return the client of the current work, an address or a host name; empty if it is unknown."""
    return _client.get()


def set_client(address: object) -> None:
    """Set the client of the current work, until it ends."""
    _client.set(address if isinstance(address, str) and len(address) <= LONGEST_CLIENT else "")


def remaining_seconds(limit: float) -> float:
    """Return the seconds left to the current work, at most `limit`; zero or less once its deadline has passed."""
    deadline = _deadline.get()
    return limit if deadline is None else min(limit, deadline - time.monotonic())


@contextmanager
def work(correlation_id: str | None = None, deadline: float | None = None, client: object = "") -> Iterator[str]:
    """Run the block as one piece of work; `deadline` is a moment of `time.monotonic()`. Yields the correlation id.

    An id that is not a text, or too long, is replaced. `client`: see `set_client`.
    """
    is_ours = isinstance(correlation_id, str) and 0 < len(correlation_id) <= LONGEST_ID
    ident = correlation_id if is_ours and correlation_id else secrets.token_hex(16)
    id_token, deadline_token, client_token = _correlation_id.set(ident), _deadline.set(deadline), _client.set("")
    set_client(client)
    try:
        yield ident
    finally:
        _client.reset(client_token)
        _correlation_id.reset(id_token)
        _deadline.reset(deadline_token)
