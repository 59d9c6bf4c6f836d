"""What each part may do at the broker, from the catalogue, and how its user is made.

A part may publish its own events, read those it listens to, answer calls to itself and make calls to all. So whoever
gets hold of one part's password can neither tell others' events nor listen to others' calls. Rules are regular
expressions of names, as RabbitMQ has them (rabbitmq.com/docs/access-control).

`python -m ops.broker_users http://rabbitmq:15672` makes all users, harmless to repeat: their names and passwords are
those in AUTH_AMQP_URL, TICKETS_AMQP_URL and so on; RABBITMQ_PASSWORD is the administrator's.
"""

import re
import sys
import time
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

import requests

from libs.contracts.events import CATALOGUE
from libs.contracts.parts import OPERATOR, PRINCIPALS
from libs.events import topology
from libs.settings import required

ADMINISTRATOR = "ticketing"
EVERYTHING = ".*"
RPC_EXCHANGE = "nameko-rpc"
SECONDS = 10
TRYING_SECONDS = 60


@dataclass(frozen=True)
class Permissions:
    """Names that may be made, written to and read from, and keys of calls and replies that may be listened to."""

    configure: str
    write: str
    read: str
    keys: str


def permissions(part: str) -> Permissions:
    """Return what `part` may do; operators may do everything."""
    if part == OPERATOR:
        return Permissions(EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING)
    published = CATALOGUE.published_by(part)
    heard = [event for event in CATALOGUE.values() if part in (*event.listeners, *event.broadcast)]
    names = [rf"{part}\..*", f"rpc-{part}", r"rpc\.reply-.*", RPC_EXCHANGE]
    # who publishes declares the listeners' queues, so that they are there before their listeners
    queues = [re.escape(topology.queue_name(listener, event)) for event in published for listener in event.listeners]
    parking = {re.escape(topology.parking_name(listener)) for event in published for listener in event.listeners}
    exchanges = {re.escape(event.exchange) for event in heard}
    return Permissions(
        configure=_one_of([*names, *queues, *exchanges]),
        write=_one_of([*names, *queues, *parking]),
        read=_one_of([*names, *queues, *exchanges]),
        keys=_one_of([rf"{part}\..*", "[0-9a-f-]{32,36}"]),  # calls to itself, and replies
    )


def grant(management_url: str, password: str, part: str, amqp_url: str) -> None:
    """Make the user of `part` that its address names, or give it that password and those permissions anew.

    `password` is the administrator's, which stays as it is. Raises requests.RequestException.
    """
    address = urlsplit(amqp_url.split(";")[0])  # the nodes of a cluster know the same users
    if address.username == ADMINISTRATOR:
        return
    name, vhost = quote(unquote(address.username or ""), safe=""), quote(unquote(address.path[1:]) or "/", safe="")
    rules, at = permissions(part), f"{vhost}/{name}"
    granted = {"configure": rules.configure, "write": rules.write, "read": rules.read}
    keys = {"exchange": RPC_EXCHANGE, "write": EVERYTHING, "read": rules.keys}
    for path, body in (
        (f"users/{name}", {"password": unquote(address.password or ""), "tags": ""}),
        (f"permissions/{at}", granted),
        (f"topic-permissions/{at}", keys),
    ):
        url, admin = f"{management_url}/api/{path}", (ADMINISTRATOR, password)
        requests.put(url, json=body, auth=admin, timeout=SECONDS).raise_for_status()


def _one_of(names: list[str]) -> str:
    return f"^({'|'.join(sorted(names))})$"


def main() -> None:
    """Make the users of all parts; exit with a sentence and code 1 when that is impossible for a minute."""
    addresses = {part: required(f"{part.upper()}_AMQP_URL") for part in PRINCIPALS}
    password, deadline = required("RABBITMQ_PASSWORD"), time.monotonic() + TRYING_SECONDS
    while addresses:
        part, amqp_url = next(iter(addresses.items()))
        try:
            grant(sys.argv[1], password, part, amqp_url)
            del addresses[part]
        except requests.RequestException as error:
            if time.monotonic() > deadline:
                sys.exit(f"the user of {part} cannot be made: {error}")
            time.sleep(0.5)
    print("RabbitMQ knows the users of all parts")


if __name__ == "__main__":
    main()
