"""Tickets whose hold has ended, by the events that this process received, for requests that wait for one to end.

An event decides nothing: it only means that it is time to ask orders. It may never arrive, if the broker is unreachable
or the event was lost, so waiting requests also ask now and then.
"""

import threading
from itertools import count

from libs.bounded import BoundedDict

MOST_REMEMBERED = 1000
HELD = "reserved"


class EndedHolds:
    """Recently ended holds, and the requests waiting for one to end. `is_listening`: whether it gets events."""

    def __init__(self) -> None:
        self.is_listening = False
        self._numbers = count(1)
        self._ended: BoundedDict[str, int] = BoundedDict(MOST_REMEMBERED)
        self._waiting: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()

    def note(self, ticket_id: str, status: str | None) -> None:
        """Note the current status of a ticket."""
        if status is None or status == HELD:
            return
        with self._lock:
            self._ended[ticket_id] = next(self._numbers)
            for waiting in self._waiting.get(ticket_id, ()):
                waiting.set()

    def wait(self, ticket_id: str, known: int, seconds: float) -> int:
        """Return once a hold of this ticket has ended after the `known` one, or after so many seconds.

        Returns its number, to be passed as `known` next time; 0 when none has ended lately.
        """
        with self._lock:
            ended = self._ended.get(ticket_id, 0)
            if ended != known:
                return ended
            waiting = threading.Event()
            self._waiting.setdefault(ticket_id, []).append(waiting)
        try:
            waiting.wait(seconds)
        finally:  # also when the request is cut off
            with self._lock:
                self._waiting[ticket_id].remove(waiting)
                if not self._waiting[ticket_id]:
                    del self._waiting[ticket_id]
        return self._ended.get(ticket_id, 0)
