"""Sessions that ended before their token did: what this process knows of them, and whether that is up to date."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from libs.tokens import Claims

GRACE_SECONDS = 2.0
TOLD_SECONDS = 0.5
"""How long at most to wait until auth's event has come round."""

FORGET_SECONDS = 60.0
"""How often to look for what may be forgotten: everything known is looked through."""


class Revocations:
    """Answers whether a session was ended, alone or with all others of its user.

    While it may be out of date it does not guess: `ask(claims)` asks auth, and may raise ServiceUnavailable, which
    refuses the request. It never opens.
    """

    def __init__(self, ask: Callable[[Claims], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._sessions: dict[str, float] = {}
        self._users: dict[str, tuple[int, float]] = {}
        self._awaited: dict[str, threading.Event] = {}
        self._current_until = 0.0
        self._forgotten_at = clock()
        self._lock = threading.Lock()

    def is_revoked(self, claims: Claims) -> bool:
        """Return whether the session of this token was ended; raise ServiceUnavailable when nobody can tell."""
        generation, _ = self._users.get(claims.subject, (0, 0.0))
        if claims.session_id in self._sessions or claims.generation < generation:
            return True
        if self._clock() <= self._current_until:
            return False
        return self._ask(claims)

    def add(self, session_id: str, expires_at: float) -> None:
        """Remember an ended session until its token would have expired by itself."""
        with self._lock:
            self._sessions[session_id] = expires_at
            self._forget()

    def add_user(self, user_id: str, generation: int, expires_at: float) -> None:
        """Remember that all sessions of a user below `generation` were ended, until their tokens have expired."""
        with self._lock:
            self._users[user_id] = max((generation, expires_at), self._users.get(user_id, (0, 0.0)))
            self._forget()

    def _forget(self) -> None:
        """Forget, now and then, those whose tokens have expired by now."""
        if self._clock() < self._forgotten_at + FORGET_SECONDS:
            return
        self._forgotten_at, now = self._clock(), time.time()
        self._sessions = {known: until for known, until in self._sessions.items() if until >= now}
        self._users = {known: (least, until) for known, (least, until) in self._users.items() if until >= now}

    @contextmanager
    def telling_all(self, ident: str) -> Iterator[None]:
        """Leave the block, in which a session or all of a user are ended, when auth's event of it has come back to us.

        It reaches all processes at the same moment, so that none of them lets in afterwards what was ended here. While
        this process hears nothing it does not wait: those that hear nothing ask auth anyway.
        """
        told = self._awaited[ident] = threading.Event()
        try:
            yield
            if self._clock() <= self._current_until:
                told.wait(TOLD_SECONDS)
        finally:
            self._awaited.pop(ident, None)

    def hear(self, ended: dict[str, Any]) -> None:
        """Remember what SessionRevoked, or an entry of auth's list, says was ended."""
        self._remember(ended)
        if told := self._awaited.get(ended["id"]):
            told.set()

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

    def confirm(self) -> None:
        """Say that everything published until now has arrived; good for two seconds."""
        self._current_until = self._clock() + GRACE_SECONDS


def timestamp(moment: str | float) -> float:
    """Return seconds since 1970 of an ISO 8601 time."""
    if isinstance(moment, int | float):
        return float(moment)
    return datetime.fromisoformat(moment).timestamp()
