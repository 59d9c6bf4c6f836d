"""The trusted proxies in front of the gateway, which report a client's address and scheme, and their number."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

QUIET_SECONDS = 60.0
SET_BY_PROXIES = {
    f"HTTP_{name.upper().replace('-', '_')}": name
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host")
}
"""Headers by their keys in a WSGI environment."""
DIRECT = ("/healthz", "/readyz", "/api/webhooks/")
"""The paths of clients that need not come through the proxies: probes, and a fake Stripe."""
WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([\d.]+):\d+", re.ASCII)
SCHEMES = ("http", "https")

log = logging.getLogger(__name__)


class Proxies:
    """WSGI middleware: takes a client's address from the headers of the last `number` proxies, which are trusted.

    The first of them also reports whether the client came over TLS (X-Forwarded-Proto).

    If the headers do not fit the number of proxies, a client counts as the proxy's address, as do all others: then
    auth's limits by address apply to everybody together. That is logged, at most once a minute.
    """

    def __init__(
        self, application: "WSGIApplication", number: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._application = application
        self._number = number
        self._clock = clock
        self._quiet_until = clock()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request."""
        named = [name.strip() for name in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if name.strip()]
        # without proxies a client could forge its address
        client = _address(named[-self._number]) if 0 < self._number <= len(named) else None
        if client:
            environ["REMOTE_ADDR"] = client
        elif (problem := self._problem(environ, named)) and self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + QUIET_SECONDS
            log.error(
                "%s, but GATEWAY_PROXIES is %s: unless a client came another way or forged the header, all clients "
                "count as one, and one who tries passwords locks everybody out",
                problem,
                self._number,
            )
        if self._number:
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").split(",")[0].strip().lower()
            environ["wsgi.url_scheme"] = scheme if scheme in SCHEMES else "http"
        return self._application(environ, start_response)

    def _problem(self, environ: "WSGIEnvironment", named: Sequence[str]) -> str | None:
        """Return how the headers of a request without a client's address contradict the number of proxies."""
        if not self._number:
            return next((f"a proxy has set {name}" for key, name in SET_BY_PROXIES.items() if environ.get(key)), None)
        if not named and environ.get("PATH_INFO", "").startswith(DIRECT):
            return None
        return f"X-Forwarded-For names {len(named)} clients and proxies, or no IP address"


def _address(text: str) -> str | None:
    """Return the IP address that a proxy names, without the port that some add; None when it is none."""
    found = WITH_PORT.fullmatch(text)
    try:
        return str(ip_address(found[1] or found[2] if found else text))
    except ValueError:
        return None
