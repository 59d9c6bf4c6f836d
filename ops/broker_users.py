"""The permissions of each part at the broker, derived from the catalogue, and the creation of its user.

A part may configure only what it owns: names that begin with its own, and the queue of the calls to it. It may publish
its own events, read those it listens to, answer calls to itself and make calls to all. With the password of one part
nobody can change, read or purge the queues of another, or publish another's events. An operator's shell may call every
service and receive its own replies, and nothing else. The monitoring user may do nothing: the length of a queue needs
no permission. Permissions are regular expressions for names and for routing keys, as in RabbitMQ
(rabbitmq.com/docs/access-control). `ops.broker_setup` creates the users.
"""

import json
import re
import ssl
from base64 import b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from libs.contracts.events import CATALOGUE
from libs.contracts.parts import MONITOR, OPERATOR, SERVICES
from libs.events.topology import ALL
from libs.rpc.topology import (
    REPLY_KEY,
    RPC_EXCHANGE,
    STOCK_REPLY_KEY,
    calls_queue,
    replies_exchange,
    replies_pattern,
)
from libs.settings import ca_file

ADMINISTRATOR = "ticketing"
NOTHING = "^$"
SECONDS = 10

Rules = Mapping[str, str]


@dataclass(frozen=True)
class Rights:
    """Names that may be configured, written to and read from; for some topic exchanges also the routing keys."""

    configure: str
    write: str
    read: str
    keys: Mapping[str, Rules] = field(default_factory=dict)
    """By exchange: `write`, the keys for publishing, and `read`, the keys for binding queues."""


def rights(principal: str) -> Rights:
    """Return the permissions of a part, of an operator, or of the monitoring user."""
    if principal == MONITOR:
        return Rights(NOTHING, NOTHING, NOTHING)
    consumed = [event for event in CATALOGUE.values() if principal in (*event.listeners, *event.broadcast)]
    sources = {event.exchange for event in consumed}
    # a service may answer any caller; other programs only answer the services' requests for their clock
    answered = [REPLY_KEY, STOCK_REPLY_KEY] if principal in SERVICES else _keys_of_replies(SERVICES)
    keys = {source: {"write": NOTHING, "read": _one_of(_heard(principal, source))} for source in sources}
    calls = {"write": _one_of(_keys_of_calls() + answered), "read": _one_of(map(re.escape, _bound_by(principal)))}
    own = _own(principal)
    return Rights(
        configure=_one_of(own),
        write=_one_of([*own, re.escape(RPC_EXCHANGE.name)]),
        read=_one_of([*own, re.escape(RPC_EXCHANGE.name), *map(re.escape, sources)]),
        keys={RPC_EXCHANGE.name: calls, **keys},
    )


def _own(principal: str) -> list[str]:
    if principal == OPERATOR:  # which only makes calls
        return [re.escape(replies_exchange(principal).name), *_keys_of_replies([principal])]
    return [rf"{principal}\..*", *([re.escape(calls_queue(principal).name)] if principal in SERVICES else [])]


def _heard(part: str, exchange: str) -> list[str]:
    """Return the keys with which a part may bind queues to an exchange.

    The key for everything is among them only if all events are broadcast to the part.
    """
    published = [event for event in CATALOGUE.values() if event.exchange == exchange]
    names = [re.escape(event.name) for event in published if part in (*event.listeners, *event.broadcast)]
    return [*names, *([re.escape(ALL)] if all(part in event.broadcast for event in published) else [])]


def _keys_of_calls() -> list[str]:
    return [rf"{service}\.[^.]+" for service in SERVICES]


def _keys_of_replies(receivers: Iterable[str]) -> list[str]:
    return [rf"{receiver}\.replies\.[0-9a-f]+" for receiver in receivers]


def _bound_by(part: str) -> list[str]:
    """Return the keys with which a part binds to the exchange of calls and replies."""
    calls = [calls_queue(part).routing_key] if part in SERVICES else []
    return [*calls, replies_pattern(part)]


def grant(management_url: str, password: str, part: str, amqp_url: str, keeps: bool = False) -> None:
    """Create the user of `part` that its address names, or reset its password and rights; create its virtual host.

    With `keeps`, it keeps its old permissions too, so that the previous version keeps working.
    `password` is the administrator's, whose own user is never changed. Raises OSError.
    """
    address = urlsplit(amqp_url.split(";")[0])  # the nodes of a cluster know the same users
    if address.username == ADMINISTRATOR:
        return
    name, vhost = quote(unquote(address.username or ""), safe=""), quote(unquote(address.path[1:]) or "/", safe="")
    broker, at, new = _Management(management_url, password), f"{vhost}/{name}", rights(part)
    granted = {"configure": new.configure, "write": new.write, "read": new.read}
    keys = {exchange: dict(rules) for exchange, rules in new.keys.items()}
    if broker.get(f"vhosts/{vhost}") is None:
        broker.put(f"vhosts/{vhost}", {})
    if keeps and (former := broker.get(f"permissions/{at}")):
        granted = _widened(former, granted)
        limited = {each["exchange"]: each for each in broker.get(f"topic-permissions/{at}") or ()}
        keys = {exchange: _widened(limited[exchange], rules) for exchange, rules in keys.items() if exchange in limited}
    broker.put(f"users/{name}", {"password": unquote(address.password or ""), "tags": ""})
    for exchange, rules in keys.items():  # before the permissions, without which these give none
        broker.put(f"topic-permissions/{at}", {"exchange": exchange, **rules})
    broker.put(f"permissions/{at}", granted)


def _widened(former: Rules, new: Rules) -> dict[str, str]:
    """Return rules that allow what either allows; unchanged if the new ones were added before."""
    return {
        kind: former[kind] if former[kind].endswith(rule) else f"{former[kind]}|{rule}" for kind, rule in new.items()
    }


class _Management:
    """RabbitMQ's management API, used by the administrator, without a library that would stay in memory for it.

    The password goes to no proxy that the environment names.
    """

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        tls = ssl.create_default_context(cafile=ca_file("AMQP")) if url.startswith("https:") else None
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=tls))
        credentials = b64encode(f"{ADMINISTRATOR}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}

    def get(self, path: str) -> Any:
        """Return the object at `path`, None when there is none."""
        try:
            return json.loads(self._ask("GET", path))
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        except ValueError as error:
            raise OSError(f"RabbitMQ gave an answer that is no JSON: {error}") from error

    def put(self, path: str, body: Mapping[str, str]) -> None:
        """Put `body` at `path`."""
        self._ask("PUT", path, json.dumps(body).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        wanted = Request(f"{self._url}/api/{path}", body, self._headers, method=method)  # noqa: S310 - libs.settings
        try:
            with self._opener.open(wanted, timeout=SECONDS) as reply:
                answer: bytes = reply.read()
        except HTTPError as error:
            with error:  # it is the response too, whose connection has to be closed
                error.msg = _reason(error)
            raise
        except HTTPException as error:
            raise OSError(f"RabbitMQ gave half an answer: {error!r}") from error
        return answer


def _reason(refusal: HTTPError) -> str:
    reason = refusal.msg
    with suppress(ValueError, LookupError, TypeError, HTTPException):  # not from RabbitMQ
        reason = str(json.loads(refusal.read())["reason"])
    is_login = refusal.code == HTTPStatus.UNAUTHORIZED
    return f"RABBITMQ_PASSWORD, of the user {ADMINISTRATOR}, is refused: {reason}" if is_login else reason


def _one_of(names: Iterable[str]) -> str:
    return f"^({'|'.join(sorted(names))})$"
