"""Deadlines of calls: no call begins once its caller has given up, however long it waited, and however clocks differ.

A request carries the moment until which its caller waits, by the caller's own monotonic clock. A service begins a call
only if that clock cannot have reached this moment yet. It has an upper bound: if it asks the caller when its own clock
shows t, and the answer is c, then the caller's clock is ahead by at most c - t, however long either message took. Apart
from the drift of the clocks this stays true, and is used for a minute, so usually a call costs no extra message. When
the bound does not suffice (for a first call, or one that may be late) the service asks the caller, and assumes that a
caller that does not answer has given up.

Callers wait MARGIN_SECONDS longer than they announce. A process that is paused after the check does not notice.
"""

import logging
import threading
import time
import uuid
from typing import Any, Protocol

from libs.bounded import BoundedDict
from libs.rpc.topology import declare_replies, new_reply_queue

log = logging.getLogger(__name__)

ASKS_CLOCK = "clock"
"""The type of the message that asks a caller for its clock; the body of the answer is `clock_ms()`."""

MARGIN_SECONDS = 0.05
"""How much longer callers wait than they announce; a tenth of the time if that is less."""
COMPARED_SECONDS = 60.0
"""How long an answer is used."""
DRIFT_MS = 60
"""How far two clocks can drift apart in that time: each may be adjusted by 500 ppm (adjtimex(2))."""
ASK_SECONDS = 2.0
LONGEST_NUMBER = 20
MOST_CALLERS = 1000
"""How many callers are remembered, those that answered last, so that those that have ended take no memory."""


def clock_ms() -> int:
    """Return our monotonic clock, in milliseconds since an arbitrary moment."""
    return int(time.monotonic() * 1000)


class Clocks:
    """Upper bounds of callers' clocks, from their answers."""

    def __init__(self) -> None:
        self._ahead: BoundedDict[str, tuple[int, int]] = BoundedDict(MOST_CALLERS)

    def latest_ms(self, caller: str) -> int | None:
        """Return the latest that a caller's clock can show now; None if it has not answered within the last minute."""
        now = clock_ms()
        ahead, asked_at = self._ahead.get(caller, (0, None))
        if asked_at is None or now - asked_at > COMPARED_SECONDS * 1000:
            return None
        return now + ahead + DRIFT_MS

    def learn(self, caller: str, asked_at: int, shown: int) -> int:
        """Note that a caller, asked at `asked_at` by our clock, answered `shown`; return the latest it can show now."""
        now = clock_ms()
        known = self.latest_ms(caller)
        if known is None or shown - asked_at + now + DRIFT_MS < known:
            self._ahead[caller] = (shown - asked_at, asked_at)
        return shown + now - asked_at


class Sender(Protocol):
    """Sends messages to reply queues."""

    def send(self, key: str, correlation_id: str | None, body: bytes, seconds: float, **properties: str) -> None:
        """Send it if possible within some seconds."""


class Callers:
    """Asks callers what their clocks show. A provider of a QueueConsumer, from which the answers to `service` come."""

    def __init__(self, service: str, sender: Sender) -> None:
        self.service = service
        self.sender = sender
        self.clocks = Clocks()
        self.queue: Any = None
        self._connection: Any = None
        self._asked: dict[str, _Answer] = {}

    def declare(self, channel: Any) -> None:
        """Receive answers in a queue; a new one on every new connection, as the old one may still hold its own."""
        if channel.connection is not self._connection:
            self._connection, self.queue = channel.connection, new_reply_queue(self.service)
        self.queue(channel).declare()
        declare_replies(channel, self.service)

    def left_seconds(self, caller: str, deadline_ms: int, until: float) -> float:
        """Return how much longer a caller is certain to wait, if it gives up at `deadline_ms` by its own clock.

        Zero or less if it may have given up. `until`: the moment of time.monotonic() by which it certainly has.
        """
        latest = self.clocks.latest_ms(caller)
        if latest is None or latest >= deadline_ms:
            latest = self._ask(caller, min(ASK_SECONDS, until - time.monotonic()))
        return 0.0 if latest is None else (deadline_ms - latest) / 1000

    def _ask(self, caller: str, seconds: float) -> int | None:
        """Return the most that a caller's clock can show now, or None if it does not answer within `seconds`."""
        if seconds <= 0:
            return None
        asked_at = clock_ms()
        answer = self.answer(caller, b"", seconds, type=ASKS_CLOCK)
        if answer is None:
            return None
        try:
            return self.clocks.learn(caller, asked_at, int(answer[:LONGEST_NUMBER]))
        except (TypeError, ValueError):
            log.warning("the time on a caller's clock cannot be read")
            return None

    def answer(self, key: str, body: bytes, seconds: float, **properties: str) -> bytes | None:
        """Send a message and return the body of what comes in answer, or None when nothing comes within `seconds`."""
        ident, answer, deadline = uuid.uuid4().hex, _Answer(), time.monotonic() + seconds
        self._asked[ident] = answer
        try:
            self.sender.send(key, ident, body, seconds=seconds, reply_to=self.queue.routing_key, **properties)
            return answer.body if answer.came.wait(max(0.0, deadline - time.monotonic())) else None
        finally:
            del self._asked[ident]

    def handle_message(self, message: Any) -> None:
        """Pass on an answer, unless it comes too late."""
        answer = self._asked.get(message.properties.get("correlation_id"))
        if answer is not None:
            answer.body = message.body
            answer.came.set()


class _Answer:
    def __init__(self) -> None:
        self.came = threading.Event()
        self.body: Any = None
