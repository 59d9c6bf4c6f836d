"""The proxies in front of the gateway: whose word for a client's address is taken, and if their number is right."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

QUIET_SECONDS = 60.0

log = logging.getLogger(__name__)


class Proxies:
    """WSGI middleware: takes a client's address from the last of so many proxies (`number`), from nobody's if 0.

    Who came through fewer proxies than that, or through one that nobody set, has the address of a proxy, as all others
    have: what auth limits by address it then limits for everybody at once. That is logged, once a minute at most.
    """

    def __init__(
        self, application: "WSGIApplication", number: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # without proxies a client could forge its address
        self._application = ProxyFix(application, x_for=number, x_proto=0, x_host=0) if number else application
        self._number = number
        self._clock = clock
        self._quiet_until = clock()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request."""
        given = environ.get("HTTP_X_FORWARDED_FOR", "")
        if given and (not self._number or given.count(",") + 1 < self._number) and self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + QUIET_SECONDS
            log.error(
                "X-Forwarded-For names %s addresses, but GATEWAY_PROXIES is %s: unless a client forged the header, all "
                "clients count as one, and one who tries passwords locks everybody out",
                given.count(",") + 1,
                self._number,
            )
        return self._application(environ, start_response)
