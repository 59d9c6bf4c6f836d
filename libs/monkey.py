"""Eventlet's monkey patching for services, without its optional dependencies; import this before eventlet.

Host names are resolved by the operating system in a native thread, as gevent does it in the gateway. Eventlet's own
resolver would not block the event loop either, but takes 7 MB in each service, for dnspython. pyOpenSSL, which it
loads because webauthn installs it, is 1 MB more. Both together are a tenth of a second of each start.
"""

import atexit
import os
import socket
from contextlib import suppress
from typing import Any

from libs.hidden import hidden

os.environ["EVENTLET_NO_GREENDNS"] = "yes"
with hidden("OpenSSL"):
    import eventlet
    from eventlet import tpool
    from eventlet.green import socket as green_socket

LONGEST_SECONDS = 5.0
"""The longest wait for a name server, which is also dnspython's (`dns.resolver.Resolver.lifetime`)."""

_resolve = socket.getaddrinfo


def patch() -> None:
    """Make blocking calls yield to the rest of the service, `socket.getaddrinfo` included.

    A lookup that was given up does not keep the process from ending: its thread is a daemon.
    """
    green_socket.getaddrinfo = getaddrinfo
    atexit.unregister(tpool.killall)
    eventlet.monkey_patch()


def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:  # noqa: A002
    """Return what `socket.getaddrinfo` does; raise socket.gaierror, EAI_AGAIN after LONGEST_SECONDS.

    One of eventlet's twenty threads is then taken until the operating system gives up, too.
    """
    with suppress(socket.gaierror):  # an address needs no name server, and so no thread
        return _resolve(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    late = socket.gaierror(socket.EAI_AGAIN, f"no name server answered within {LONGEST_SECONDS:g} s")
    with eventlet.Timeout(LONGEST_SECONDS, late):
        return tpool.execute(_resolve, host, port, family, type, proto, flags)
