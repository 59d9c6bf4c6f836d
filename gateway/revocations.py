"""Sessions that were ended before their token expired, as known to this process, and whether that is current."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from libs.tokens import Claims

GRACE_SECONDS = 2.0
BROADCAST_SECONDS = 0.5
"""How long to wait for auth's event at most."""

PRUNE_SECONDS = 60.0
"""How often to drop what has expired; each time all entries are read."""


class Revocations:
    """Answers whether a session was ended, alone or with all others of its user. It fails closed.

    While it may be out of date it does not guess: `ask_auth(claims)` calls auth, and may raise ServiceUnavailable,
    which refuses the request.
    """

    def __init__(self, ask_auth: Callable[[Claims], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask_auth = ask_auth
        self._clock = clock
        self._sessions: dict[str, float] = {}
        self._users: dict[str, tuple[int, float]] = {}
        self._awaited: dict[str, threading.Event] = {}
        self._current_until = 0.0
        self._pruned_at = clock()
        self._lock = threading.Lock()

    def is_revoked(self, claims: Claims) -> bool:
        """Return whether the session of this token was ended; raise ServiceUnavailable when that cannot be known."""
        generation, _ = self._users.get(claims.subject, (0, 0.0))
        if claims.session_id in self._sessions or claims.generation < generation:
            return True
        if self._clock() <= self._current_until:
            return False
        return self._ask_auth(claims)

    def add(self, session_id: str, expires_at: float) -> None:
        """Remember an ended session until its token expires."""
        with self._lock:
            self._sessions[session_id] = expires_at
            self._prune()

    def add_user(self, user_id: str, generation: int, expires_at: float) -> None:
        """Remember that all sessions of a user below `generation` were ended, until their tokens expire."""
        with self._lock:
            self._users[user_id] = max((generation, expires_at), self._users.get(user_id, (0, 0.0)))
            self._prune()

    def _prune(self) -> None:
        """Drop those whose tokens have expired, once a minute."""
        if self._clock() < self._pruned_at + PRUNE_SECONDS:
            return
        self._pruned_at, now = self._clock(), time.time()
        self._sessions = {known: until for known, until in self._sessions.items() if until >= now}
        self._users = {known: (least, until) for known, (least, until) in self._users.items() if until >= now}

    @contextmanager
    def await_broadcast(self, ident: str) -> Iterator[None]:
        """End session `ident`, or all of user `ident`, in the block; leave it once auth's event of that has arrived.

        The event is broadcast to all processes at the same time, so none accepts the session afterwards. While this
        process is not current it does not wait: such a process asks auth anyway.
        """
        arrived = self._awaited[ident] = threading.Event()
        try:
            yield
            if self._clock() <= self._current_until:
                arrived.wait(BROADCAST_SECONDS)
        finally:
            self._awaited.pop(ident, None)

    def handle_event(self, ended: dict[str, Any]) -> None:
        """Remember what SessionRevoked says was ended."""
        self._remember(ended)
        if arrived := self._awaited.get(ended["id"]):
            arrived.set()

    def _remember(self, ended: dict[str, Any]) -> None:
        until = timestamp(ended["expires_at"])
        if ended.get("generation") is not None:
            self.add_user(ended["id"], ended["generation"], until)
        else:
            self.add(ended["id"], until)

    def load(self, ended: Iterable[dict[str, Any]]) -> None:
        """Add the list that auth keeps (`auth.revoked_sessions` and `auth.ended_users`)."""
        for entry in ended:
            self._remember(entry)

    def mark_current(self) -> None:
        """Note that everything published until now has arrived; valid for two seconds."""
        self._current_until = self._clock() + GRACE_SECONDS


def timestamp(moment: str | float) -> float:
    """Return seconds since 1970 of an ISO 8601 time."""
    if isinstance(moment, int | float):
        return float(moment)
    return datetime.fromisoformat(moment).timestamp()
