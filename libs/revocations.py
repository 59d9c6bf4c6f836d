"""A process's list of sessions that were ended before their token expired, and how long it may trust that list.

auth numbers revocations. Each process polls auth for those after the last numbers that it has, which also shows auth
how far it has got. It trusts its list for TRUST_SECONDS from the moment it asked; after that it asks auth about each
session. auth records which processes have polled lately (auth/followers.py). So a revocation is effective everywhere
once each of these has it, and at the latest TRUST_SECONDS after it was committed: by then no process trusts an older
list, whatever has happened to it. No message has to arrive for that; a broadcast (`wake`) only makes it fast. A process
with no sessions to check does not poll. No clocks of different machines are compared.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from libs.errors import Unavailable, log_failure
from libs.rpc import RemoteError, ServiceUnavailable
from libs.tokens import CLOCK_SKEW_SECONDS, MOST_AHEAD_SECONDS, Claims

TRUST_SECONDS = 3.0
ASK_SECONDS = TRUST_SECONDS / 3
RETRY_SECONDS = 0.2
REVOCATIONS_SECONDS = 2.0
"""How long a poll may take: less than the list is trusted, so that the next poll is in time."""
IS_REVOKED_SECONDS = 2.0
"""How long a query whether one session has ended may take."""
PAUSES_SECONDS = (0.01, 0.25)
"""How long to pause before asking again whether a revocation is effective: at first, and at most."""
QUIET_SECONDS = 10.0
"""How long after the last check of a session a process keeps polling."""
RESUME_SECONDS = 0.5
"""How long the next check waits for the list, before auth is asked about that session."""

PRUNE_SECONDS = 60.0
"""How often to drop what has expired; each time all entries are read."""
AFTER_EXPIRY_SECONDS = 2 * MOST_AHEAD_SECONDS + CLOCK_SKEW_SECONDS
"""How long after that: an auth whose clock is ahead may have minted the token, and one that is behind ended it."""

log = logging.getLogger(__name__)

Ask = Callable[[str, dict[str, int]], dict[str, Any]]


class Revocations:
    """Answers whether a session was ended, alone or with all others of its user. It fails closed.

    `ask(process, known)` calls `auth.revocations`; `ask_about(claims)` calls `auth.is_revoked`, while the list may be
    out of date. Both may raise ServiceUnavailable, the latter to the caller that checks the session.
    """

    def __init__(
        self, ask: Ask, ask_about: Callable[[Claims], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._ask_about = ask_about
        self._clock = clock
        self._process = uuid.uuid4().hex
        self._known = {"sessions": 0, "users": 0}
        self._sessions: dict[str, float] = {}
        self._users: dict[str, tuple[int, float]] = {}
        self._trusted_until = float("-inf")
        self._pruned_at = clock()
        self._dropped_until = 0.0  # revocations of tokens that expire before this moment may have been dropped
        self._woken = threading.Event()
        self._used_at = clock()
        self._is_followed = threading.Event()  # also if no thread follows, and the owner calls `refresh`
        self._is_followed.set()

    @property
    def is_current(self) -> bool:
        """Whether the list alone decides."""
        return self._clock() < self._trusted_until

    def is_revoked(self, claims: Claims) -> bool:
        """Return whether the session of this token was ended; raise ServiceUnavailable when that cannot be known."""
        self._used_at = self._clock()
        if not self._is_followed.is_set():
            self.wake()
            self._is_followed.wait(RESUME_SECONDS)
        generation, _ = self._users.get(claims.subject, (0, 0.0))
        if claims.session_id in self._sessions or claims.generation < generation:
            return True
        is_listed = self.is_current and claims.expires_at >= self._dropped_until
        return False if is_listed else self._ask_about(claims)

    def follow(self, stopping: threading.Event) -> None:
        """Keep the list current until `stopping` is set and `wake` called; for a thread of its own.

        While no session is checked, it asks auth only after a `wake`.
        """
        is_failing = False
        while not stopping.is_set():
            self._woken.clear()
            try:
                self.refresh()
                is_failing = False
            except Exception as error:  # noqa: BLE001 - this thread must not end
                if not is_failing:
                    log_failure(log, error, "the list of revoked sessions is out of date, auth is asked about each")
                is_failing = True
            self._is_followed.set()
            if self._clock() > self._used_at + QUIET_SECONDS:
                self._is_followed.clear()
                self._woken.wait()
            else:
                self._woken.wait(RETRY_SECONDS if is_failing else ASK_SECONDS)

    def wake(self) -> None:
        """Ask auth now: something was revoked."""
        self._woken.set()

    def refresh(self) -> None:
        """Poll until nothing is new, which shows auth that this process has everything; raises what `ask` raises."""
        while self._ask_for_more():
            pass
        self._prune()

    def _ask_for_more(self) -> bool:
        asked_at = self._clock()
        found = self._ask(self._process, dict(self._known))
        for ended in found["sessions"]:
            self._sessions[ended["id"]] = _timestamp(ended["expires_at"])
        for ended in found["users"]:
            until = _timestamp(ended["expires_at"])
            self._users[ended["id"]] = max((ended["generation"], until), self._users.get(ended["id"], (0, 0.0)))
        for kind in self._known:
            self._known[kind] = max([self._known[kind], *(ended["number"] for ended in found[kind])])
        if found["is_all"]:
            self._trusted_until = asked_at + TRUST_SECONDS
        return bool(found["sessions"] or found["users"])

    def _prune(self) -> None:
        """Drop those whose tokens have expired, once a minute.

        auth is asked about any token that is as old and still valid: the clock was ahead then, and has been set back.
        """
        if self._clock() < self._pruned_at + PRUNE_SECONDS:
            return
        self._pruned_at, expired = self._clock(), time.time() - AFTER_EXPIRY_SECONDS
        self._dropped_until = max(self._dropped_until, expired)
        self._sessions = {known: until for known, until in self._sessions.items() if until >= expired}
        self._users = {known: (least, until) for known, (least, until) in self._users.items() if until >= expired}


def followed_by(call: Callable[[str, dict[str, Any], float], Any]) -> Revocations:
    """Return the revocations for a process that has `call(method, arguments, timeout)` to call auth in its own name."""

    def ask(process: str, known: dict[str, int]) -> dict[str, Any]:
        found: dict[str, Any] = call("revocations", {"process": process, **known}, REVOCATIONS_SECONDS)
        return found

    def ask_about(claims: Claims) -> bool:
        about = {"session_id": claims.session_id, "user_id": claims.subject, "generation": claims.generation}
        try:
            return bool(call("is_revoked", about, IS_REVOKED_SECONDS))
        except RemoteError as error:
            raise ServiceUnavailable("auth does not answer whether the session has ended") from error

    return Revocations(ask, ask_about)


def await_effect(
    is_effective: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when a revocation that auth has committed is effective in every process: within TRUST_SECONDS.

    `is_effective(timeout)` calls `auth.is_effective`; while it raises Unavailable, time alone makes it so.
    """
    until, (pause, longest) = clock() + TRUST_SECONDS, PAUSES_SECONDS
    while (left := until - clock()) > 0:
        with suppress(Unavailable):
            if is_effective(left):
                return
        sleep(min(pause, max(0.0, until - clock())))
        pause = min(2 * pause, longest)


def _timestamp(moment: str) -> float:
    """Return seconds since 1970 of an ISO 8601 time."""
    return datetime.fromisoformat(moment).timestamp()
