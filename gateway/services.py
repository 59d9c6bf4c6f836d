"""RPC calls to the services: one client per process, and three callers (anonymous, the user, the gateway)."""

import threading
from collections.abc import Callable
from typing import Any, Protocol, cast

from flask import current_app, session

from gateway.cache.marks import note_change
from libs.rpc import own_token
from libs.tokens import Signer

CALL_SECONDS = 5.0
QUERIES = {
    *("get", "held", "list", "list_mine", "sales", "is_revoked", "revocations", "is_effective"),
    *("account_security", "list_sessions", "highlights", "site_map", "site_map_pages", "refusals"),
    *("event", "site_map_events", "site_map_event_pages", "sellers", "profiles"),
}


class RpcClient(Protocol):
    """The part of `libs.rpc.Client` that the gateway uses; tests pass a fake."""

    @property
    def call(self) -> Callable[..., Any]:
        """Return the JSON result; raise RemoteError or ServiceUnavailable."""

    @property
    def query(self) -> Callable[..., Any]:
        """Like `call`, but retried once: for read-only methods."""

    @property
    def ping(self) -> Callable[[str, float], None]:
        """Return once a service has answered; raise ServiceUnavailable when it does not within so many seconds."""


class Services:
    """The client, made on first use (so after gunicorn's fork), and the gateway's own key."""

    def __init__(self, connect: Callable[[], RpcClient], signer: Signer) -> None:
        self._connect = connect
        self._signer = signer
        self._client: RpcClient | None = None
        self._lock = threading.Lock()

    def call(self, method: str, arguments: dict[str, Any], token: str | None, timeout: float) -> Any:
        """Return the result of `<service>.<method>`, waiting `timeout` seconds at most."""
        service, _, name = method.partition(".")
        send = self.client.query if name in QUERIES else self.client.call
        return send(service, name, arguments, token=token, timeout=timeout)

    def call_as_gateway(self, method: str, timeout: float = CALL_SECONDS, **arguments: Any) -> Any:
        """Call with a token of the gateway itself; works outside a request too."""
        with own_token(self._signer, method.partition(".")[0]) as token:
            return self.call(method, arguments, token, timeout)

    @property
    def client(self) -> RpcClient:
        """The one client of this process."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client


def call_public(method: str, *, timeout: float = CALL_SECONDS, **arguments: Any) -> Any:
    """Call anonymously."""
    return _services().call(method, arguments, None, timeout)


def call_as_user(method: str, *, timeout: float = CALL_SECONDS, **arguments: Any) -> Any:
    """Call with the session's token; the service verifies it again and checks ownership."""
    service, _, name = method.partition(".")
    if name not in QUERIES:
        note_change(service)
    return _services().call(method, arguments, session.get("token"), timeout)


def call_as_gateway(method: str, *, timeout: float = CALL_SECONDS, **arguments: Any) -> Any:
    """Call as the gateway, for requests without a user, such as webhooks."""
    return _services().call_as_gateway(method, timeout, **arguments)


def _services() -> Services:
    return cast(Services, current_app.extensions["services"])
