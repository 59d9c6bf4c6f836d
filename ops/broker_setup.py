"""The set-up of RabbitMQ: the users of all parts, and all exchanges, queues and bindings. `python -m ops.broker_setup`

Everything is set up at the start and whenever the broker comes back, so that nothing is lost before a listener's first
start. Every BROKER_VERIFY_SECONDS exchanges, queues and bindings are declared again, in case one was deleted. Each part
does the same for its own, and may declare nothing else; `nameko-rpc`, which all share, belongs to this program, an
administrator. Queues of earlier versions are deleted once no program consumes them.

For ten minutes after a start users keep their old permissions in addition to the new ones, so that the previous version
keeps working while it is being replaced. Users have the names and passwords that are in AUTH_AMQP_URL, TICKETS_AMQP_URL
and so on. The program opens its internal port once everything is set up, and ends with a message and code 1 when that
has failed for a minute.
"""

import logging
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote

from amqp.exceptions import AMQPError, ChannelError, NotFound
from kombu import Connection
from kombu.exceptions import KombuError

from libs import internal_port, logs
from libs.amqp.connection import connect
from libs.contracts.events import CATALOGUE, RETIRED_QUEUES
from libs.contracts.parts import BROKER_USERS, OPERATOR, PRINCIPALS, SERVICES
from libs.errors import log_failure
from libs.events import topology
from libs.internal_port import Loop
from libs.rpc.topology import declare_calls, declare_replies, declare_rpc_exchange
from libs.settings import AMQP_FORM, URL_FORM, amqp_url, check_common, parsed, required, verify_seconds, web_url
from ops.broker_users import ADMINISTRATOR, grant

TRYING_SECONDS = 60
LATE_SECONDS = 10
PAUSE_SECONDS = 1
OVERLAP_SECONDS = 600
"""How long the previous version may keep running after this one was started."""

log = logging.getLogger("ops.broker_setup")


class OtherQueueType(Exception):
    """The virtual host was set up with another QUEUE_TYPE, which no queue can change."""


def declarations() -> Iterator[Callable[[Any], None]]:
    """Yield functions that together declare, on a channel, every durable exchange, queue and binding.

    The queues of replies and broadcasts are temporary, and their receivers declare them.
    """
    yield declare_rpc_exchange
    for service in SERVICES:
        yield partial(declare_calls, service=service)
    for principal in PRINCIPALS:
        yield partial(declare_replies, part=principal)
    for event in CATALOGUE.values():
        yield partial(topology.declare_published, events=[event])
        for listener in event.listeners:
            yield partial(topology.declare_consumed, listener=listener, events=[event])
            yield partial(topology.bind_consumed, listener=listener, events=[event])
    for listener in CATALOGUE.listeners():
        yield partial(topology.declare_waits, listener=listener, delays_seconds=topology.DELAYS_SECONDS)


def declare(connection: Connection) -> None:
    """Declare everything; if a declaration is refused, declare the rest before raising.

    The broker refuses a declaration if a part has replaced the queue or exchange by one with other properties. Raises
    OtherQueueType if that is the type of a queue.
    """
    refusals, channel = [], connection.channel()
    for declaration in declarations():
        try:
            declaration(channel)
        except ChannelError as error:
            refusals.append(error)
            channel = connection.channel()
    channel.close()
    for each in refusals:
        if "'x-queue-type'" in str(each):
            raise OtherQueueType(f"RabbitMQ has queues of another QUEUE_TYPE (docs/settings.md): {each}") from each
    for each in refusals:
        log_failure(log, each, "the broker refused a declaration")
    if refusals:
        raise refusals[-1]


def delete_retired(connection: Connection) -> None:
    """Delete the queues of earlier versions, once no program consumes them; parked events stay."""
    for name in RETIRED_QUEUES:
        _delete_unused(connection, name)
        _delete_unused(connection, topology.parked_name(name), is_kept_while_full=True)


def _delete_unused(connection: Connection, queue: str, is_kept_while_full: bool = False) -> None:
    with suppress(NotFound), connection.channel() as channel:
        found = channel.queue_declare(queue, passive=True)
        if not found.consumer_count and not (is_kept_while_full and found.message_count):
            channel.queue_delete(queue)


def set_up(management_url: str, password: str, addresses: Mapping[str, str]) -> Iterator[None]:
    """Create the users in `addresses` and declare everything; declare it again at each iteration.

    Permissions that are no longer needed are revoked OVERLAP_SECONDS later. `addresses` are the parts' AMQP URLs, and
    `password` is the administrator's. Raises OSError, AMQPError or KombuError if the broker is unreachable or refuses.
    """
    for part, address in addresses.items():
        grant(management_url, password, part, address, keeps=True)
    overlaps_until: float | None = time.monotonic() + OVERLAP_SECONDS
    with connect(as_administrator(addresses[OPERATOR], password)) as connection:
        while True:
            declare(connection)
            delete_retired(connection)
            yield
            if overlaps_until is not None and time.monotonic() > overlaps_until:
                for part, address in addresses.items():
                    grant(management_url, password, part, address)
                overlaps_until = None


def as_administrator(address: str, password: str) -> str:
    """Return an AMQP URL, which may name several brokers, with the administrator as its user."""
    return re.sub(r"://([^/]*@)?", f"://{ADMINISTRATOR}:{quote(password, safe='')}@", address)


def keep_set_up(management_url: str, password: str, addresses: Mapping[str, str]) -> Iterator[None]:
    """Do as `set_up`, again whenever that fails; exit with a message when it cannot succeed or has not for a minute."""
    succeeded_at = time.monotonic()
    while True:
        try:
            for _ in set_up(management_url, password, addresses):
                yield
                succeeded_at = time.monotonic()
        except OtherQueueType as error:
            sys.exit(str(error))
        except (OSError, AMQPError, KombuError) as error:
            if time.monotonic() - succeeded_at > TRYING_SECONDS:
                sys.exit(f"RabbitMQ cannot be set up: {error}")
            log.warning("RabbitMQ is not set up, next try in %s s: %s", PAUSE_SECONDS, error)
            time.sleep(PAUSE_SECONDS)


def main() -> None:
    """Set everything up, and keep it so until the process is stopped."""
    check_common()
    addresses = {part: parsed(f"{part.upper()}_AMQP_URL", amqp_url, AMQP_FORM) for part in BROKER_USERS}
    management_url = parsed("RABBITMQ_MANAGEMENT_URL", web_url, URL_FORM)
    password = required("RABBITMQ_PASSWORD")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    declaring = Loop(verify_seconds() + LATE_SECONDS)
    for times, _ in enumerate(keep_set_up(management_url, password, addresses)):
        declaring.turned()
        if times == 0:
            log.info("RabbitMQ is set up")
            internal_port.serve({"broker": declaring.check})
        time.sleep(verify_seconds())


if __name__ == "__main__":
    logs.run(main)
