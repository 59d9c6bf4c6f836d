"""Idempotency keys: the first reply to a key is kept for 24 hours and replayed, whatever it was."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dev.fake_stripe.errors import StripeError
from dev.fake_stripe.state import State

LIFETIME = 24 * 3600
LONGEST_KEY = 255
IN_USE = (
    "There is currently another in-progress request using this Stripe Idempotent Key (that probably means you "
    "submitted twice, and the other request is still going through): {}. Please try again later."
)
OTHER_ENDPOINT = (
    "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{}' vs '{}'). "
    "Try using a key other than '{}' if you meant to execute a different request."
)
OTHER_PARAMETERS = (
    "Keys for idempotent requests can only be used with the same parameters they were first used with. "
    "Try using a key other than '{}' if you meant to execute a different request."
)


@dataclass
class Reply:
    """An answer of the API: status, JSON body, and whether it is a replay."""

    status: int
    body: dict[str, Any]
    replayed: bool = False


def fingerprint(pairs: list[tuple[str, str]]) -> str:
    """Return a hash of the parameters, whatever their order."""
    return hashlib.sha256(json.dumps(sorted(pairs)).encode()).hexdigest()


class Keys:
    """The keys in use now (in memory) and the replies kept (in the state)."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._lock = threading.Lock()
        self._in_use: set[str] = set()

    @contextmanager
    def claim(self, key: str | None) -> Iterator[None]:
        """Hold the key, if there is one, for one request; refuse (409) while another request holds it."""
        if key is None:
            yield
            return
        if len(key) > LONGEST_KEY:
            raise StripeError(400, "invalid_request_error", f"Idempotency keys have up to {LONGEST_KEY} characters.")
        with self._lock:
            if key in self._in_use:
                raise StripeError(409, "idempotency_error", IN_USE.format(key), code="idempotency_key_in_use")
            self._in_use.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._in_use.discard(key)

    def recall(self, key: str, endpoint: str, print: str) -> Reply | None:
        """Return the kept reply, or None; refuse (400) a key that was used for another request."""
        row = self.state.db.execute("select * from replies where key = ?", (key,)).fetchone()
        if row is None or self.state.now() - row["stored_at"] >= LIFETIME:
            return None
        if row["endpoint"] != endpoint:
            raise StripeError(400, "idempotency_error", OTHER_ENDPOINT.format(row["endpoint"], endpoint, key))
        if row["fingerprint"] != print:
            raise StripeError(400, "idempotency_error", OTHER_PARAMETERS.format(key))
        return Reply(row["status"], json.loads(row["body"]), replayed=True)

    def keep(self, key: str, endpoint: str, print: str, reply: Reply) -> None:
        """Keep the reply, in the transaction of the changes that it reports."""
        row = (key, endpoint, print, reply.status, json.dumps(reply.body), self.state.now())
        self.state.db.execute("insert or replace into replies values (?, ?, ?, ?, ?, ?)", row)

    def advance(self, seconds: float) -> float:
        """Move the clock; returns its distance from real time in seconds."""
        with self.state.transaction():
            offset = float(self.state.setting("clock_offset", "0")) + seconds
            self.state.set("clock_offset", str(offset))
        return offset
