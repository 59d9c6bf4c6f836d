"""The relay's fast path: the events that this process has just saved, published from memory, without a query."""

import threading
from typing import Any

from libs.events.claims import EVENTS_OF_EACH, Claim

MOST = 1000
"""How many aggregates may have events here; those of any others wait for the relay's poll."""


class FastPath:
    """The events just saved to the aggregates of one collection, until their outboxes are cleared.

    Only of aggregates whose outbox holds nothing else: no other relay looks for those, and their order is known. An
    event that was saved behind others is published after them, by whichever relay publishes those.
    """

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._lock = threading.Lock()

    def add(self, ident: str, event: dict[str, Any], is_alone: bool) -> None:
        """Add an event that was just saved; `is_alone`: its outbox held no other."""
        with self._lock:
            claim = self._claims.pop(ident, None)
            if is_alone and len(self._claims) < MOST:
                self._claims[ident] = Claim(ident, [event])
            elif claim and not is_alone:
                self._claims[ident] = claim
                # the next version, so nobody else has saved an event in between
                if claim.outbox[-1]["version"] + 1 == event["version"] and len(claim.outbox) < EVENTS_OF_EACH:
                    claim.outbox.append(event)

    def unsent(self) -> list[Claim]:
        """Return what is to be published."""
        with self._lock:
            return [claim for claim in self._claims.values() if claim.has_next]

    def sent(self) -> list[Claim]:
        """Return what was published or refused, and is to be cleared."""
        with self._lock:
            return [claim for claim in self._claims.values() if not claim.has_next]

    def forget(self, claims: list[Claim]) -> list[Claim]:
        """Forget and return the claims to which nothing was added since they were cleared."""
        with self._lock:
            done = [claim for claim in claims if self._claims.get(claim.ident) is claim and not claim.has_next]
            for claim in done:
                del self._claims[claim.ident]
            return done

    def leave_to_poll(self) -> None:
        """Drop what could not be published, for the poll to find."""
        with self._lock:
            for claim in self._claims.values():
                del claim.outbox[len(claim.sent) :]
            self._claims = {ident: claim for ident, claim in self._claims.items() if claim.sent}
