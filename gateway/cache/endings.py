"""Tickets whose hold has ended, as far as this process has heard, for requests that wait for that.

What is heard decides nothing: it only says that it is time to ask orders. It may never be heard, if the broker is
unreachable or the ticket's event was lost, so whoever waits also asks now and then.
"""

import threading
from itertools import count

from libs.bounded import BoundedDict

MOST_HEARD = 1000
HELD = "reserved"


class Endings:
    """The latest ends of holds, and who waits for one. `is_heard`: whether this process hears of tickets at all."""

    def __init__(self) -> None:
        self.is_heard = False
        self._numbers = count(1)
        self._heard: BoundedDict[str, int] = BoundedDict(MOST_HEARD)
        self._waiting: dict[str, list[threading.Event]] = {}
        self._lock = threading.Lock()

    def hear(self, ticket_id: str, status: str | None) -> None:
        """Note the status that a ticket has now."""
        if status is None or status == HELD:
            return
        with self._lock:
            self._heard[ticket_id] = next(self._numbers)
            for waiting in self._waiting.get(ticket_id, ()):
                waiting.set()

    def wait(self, ticket_id: str, known: int, seconds: float) -> int:
        """Return once an ending of this ticket was heard of other than the `known` one, or after so many seconds.

        Returns its number, to be given as `known` next time; 0 when none was heard of lately.
        """
        with self._lock:
            heard = self._heard.get(ticket_id, 0)
            if heard != known:
                return heard
            waiting = threading.Event()
            self._waiting.setdefault(ticket_id, []).append(waiting)
        try:
            waiting.wait(seconds)
        finally:  # also when the request is cut off
            with self._lock:
                self._waiting[ticket_id].remove(waiting)
                if not self._waiting[ticket_id]:
                    del self._waiting[ticket_id]
        return self._heard.get(ticket_id, 0)
