"""Admission control: a request that changes something begins when nothing else is to be done, so reads stay quick.

In a rush thousands come at once. Without turns, whoever comes meanwhile waits for all of them; with turns, for the few
that have begun. They keep their order among themselves. Some begin all the time, and none waits for longer than
LONGEST_SECONDS: while there are too many reads for that, they share the processor with them as if there were no turns.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import gevent
from gevent.hub import Waiter

from gateway.metrics import BEGAN

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

AT_ONCE = ("GET", "HEAD", "OPTIONS")
FIRST = (
    *("/api/webhooks/", "/api/payments", "/api/orders/", "/orders/"),
    *("/api/users/signout", "/signout", "/account/signout-everywhere", "/api/users/sessions/", "/account/sessions/"),
)
"""How the paths begin of what does not wait: what ends a session, or is done with an order that there is, as paying."""
LONGEST_SECONDS = 3.0
"""How long a request waits at most."""
PATIENCE_SECONDS = 0.02
"""How long something else may be done before the next one begins: of this thread's processor time, for where other
programs leave little of the processor any time may pass between two events."""


class Turns:
    """WSGI middleware for one thread of gevent, whose event loop it uses. `clock`: seconds, monotonic."""

    def __init__(self, application: "WSGIApplication", clock: Callable[[], float] = time.monotonic) -> None:
        self._application, self._clock = application, clock
        self._waiting: deque[tuple[float, Waiter[Any]]] = deque()
        self._since = 0.0
        """The thread's processor time when the last one that began paused or ended."""
        loop = gevent.get_hub().loop
        self._when_idle, self._in_any_case = loop.idle(), loop.timer(PATIENCE_SECONDS, PATIENCE_SECONDS)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request."""
        if environ["REQUEST_METHOD"] not in AT_ONCE and not environ["PATH_INFO"].startswith(FIRST):
            environ[BEGAN] = time.perf_counter()
            self._wait()
        return self._application(environ, start_response)

    def _wait(self) -> None:
        waiter: Waiter[Any] = Waiter()
        self._waiting.append((self._clock(), waiter))
        if len(self._waiting) == 1:
            self._let_next_begin()
        waiter.get()

    def _let_next_begin(self) -> None:
        self._since = time.thread_time()
        self._when_idle.start(self._begin_next)
        self._in_any_case.again(self._lose_patience, update=True)  # `start` would go on with what was left

    def _lose_patience(self) -> None:
        """Let the next one begin, unless hardly anything else was done meanwhile, and all that have waited too long."""
        since = self._clock() - LONGEST_SECONDS
        for _ in [came for came, _ in self._waiting if came <= since]:
            self._begin_next()
        if self._waiting and time.thread_time() - self._since >= PATIENCE_SECONDS:
            self._begin_next()

    def _begin_next(self) -> None:
        """Let the one begin that came first; from the event loop."""
        self._when_idle.stop()
        self._in_any_case.stop()
        try:
            self._waiting.popleft()[1].switch(None)  # returns when it has to wait for something, or has ended
        finally:
            if self._waiting:
                self._let_next_begin()
