"""What each part may do at the broker, derived from the catalogue, and the creation of its user.

A part may publish its own events, read those it listens to, answer calls to itself and make calls to all. With the
password of one part, nobody can publish others' events or read others' calls. Rules are regular expressions of names,
as RabbitMQ has them (rabbitmq.com/docs/access-control).
`ops.broker_setup` creates the users.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

import requests

from libs.contracts.events import CATALOGUE
from libs.contracts.parts import OPERATOR
from libs.events import topology
from libs.rpc.topology import RPC_EXCHANGE

ADMINISTRATOR = "ticketing"
EVERYTHING = ".*"
SECONDS = 10


@dataclass(frozen=True)
class Permissions:
    """Names that may be declared, written to and read from, and routing keys of calls and replies that may be read."""

    configure: str
    write: str
    read: str
    keys: str


def permissions(part: str) -> Permissions:
    """Return what `part` may do; operators may do everything."""
    if part == OPERATOR:
        return Permissions(EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING)
    published = CATALOGUE.published_by(part)
    consumed = [event for event in CATALOGUE.values() if part in (*event.listeners, *event.broadcast)]
    names = [rf"{part}\..*", f"rpc-{part}", r"rpc\.reply-.*", RPC_EXCHANGE.name]
    # a publisher declares the queues of its listeners, so that they exist before the listeners start
    queues = [re.escape(topology.queue_name(listener, event)) for event in published for listener in event.listeners]
    parking = {re.escape(topology.parking_name(listener)) for event in published for listener in event.listeners}
    exchanges = {re.escape(event.exchange) for event in consumed}
    return Permissions(
        configure=_one_of([*names, *queues, *exchanges]),
        write=_one_of([*names, *queues, *parking]),
        read=_one_of([*names, *queues, *exchanges]),
        keys=_one_of([rf"{part}\..*", "[0-9a-f-]{32,36}"]),  # calls to itself, and replies
    )


def grant(management_url: str, password: str, part: str, amqp_url: str) -> None:
    """Create the user of `part` that its address names, or reset its password and permissions.

    `password` is the administrator's, whose own user is never changed. Raises requests.RequestException.
    """
    address = urlsplit(amqp_url.split(";")[0])  # the nodes of a cluster know the same users
    if address.username == ADMINISTRATOR:
        return
    name, vhost = quote(unquote(address.username or ""), safe=""), quote(unquote(address.path[1:]) or "/", safe="")
    rules, at = permissions(part), f"{vhost}/{name}"
    granted = {"configure": rules.configure, "write": rules.write, "read": rules.read}
    keys = {"exchange": RPC_EXCHANGE.name, "write": EVERYTHING, "read": rules.keys}
    for path, body in (
        (f"users/{name}", {"password": unquote(address.password or ""), "tags": ""}),
        (f"permissions/{at}", granted),
        (f"topic-permissions/{at}", keys),
    ):
        url, admin = f"{management_url}/api/{path}", (ADMINISTRATOR, password)
        requests.put(url, json=body, auth=admin, timeout=SECONDS).raise_for_status()


def _one_of(names: list[str]) -> str:
    return f"^({'|'.join(sorted(names))})$"
