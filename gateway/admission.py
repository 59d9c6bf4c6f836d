"""Admission control: a request that changes something begins only when the process is idle, so that reads stay quick.

In a rush thousands of them arrive at once. Without it a read that comes meanwhile would wait for all of them; with it,
only for the few that have begun. They begin in the order in which they came. Under constant reads one still begins now
and then, and none waits longer than LONGEST_SECONDS: after that they share the processor with the reads.
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
"""The prefixes of paths that do not wait: those that end a session, or are about an existing order, such as paying."""
LONGEST_SECONDS = 3.0
"""The longest that a request waits."""
PATIENCE_SECONDS = 0.02
"""After how much other work the next one begins, in processor time of this thread, to exclude other programs."""
CHECK_SECONDS = PATIENCE_SECONDS / 4
"""How often to check whether there was that much."""


class AdmissionControl:
    """WSGI middleware for one thread of gevent, whose event loop it uses. `clock`: seconds, monotonic."""

    def __init__(self, application: "WSGIApplication", clock: Callable[[], float] = time.monotonic) -> None:
        self._application, self._clock = application, clock
        self._waiting: deque[tuple[float, Waiter[Any]]] = deque()
        self._since = 0.0
        """The thread's processor time when the last request that began paused or ended."""
        loop = gevent.get_hub().loop
        self._when_idle, self._in_any_case = loop.idle(), loop.timer(CHECK_SECONDS, CHECK_SECONDS)

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
            self._since = time.thread_time()
            self._when_idle.start(self._begin_next)
            self._in_any_case.again(self._lose_patience, update=True)  # `start` would use up the time left
        waiter.get()

    def _lose_patience(self) -> None:
        """Begin the requests that have waited too long, and the next one if enough other work was done meanwhile."""
        since = self._clock() - LONGEST_SECONDS
        while self._waiting and self._waiting[0][0] <= since:
            self._begin_next()
        if self._waiting and time.thread_time() - self._since >= PATIENCE_SECONDS:
            self._begin_next()

    def _begin_next(self) -> None:
        """Begin the request that came first; called from the event loop."""
        _, waiter = self._waiting.popleft()
        if not self._waiting:
            self._when_idle.stop()
            self._in_any_case.stop()
        waiter.switch(None)  # returns when it blocks, or has ended
        self._since = time.thread_time()
