"""The exchanges and queues of calls and replies; those of calls are named as stock nameko names them.

A call is published to `nameko-rpc` with the key `<service>.<method>`, and its reply with the caller's own key, which is
`<part>.replies.<number>`. A binding routes these on to the exchange `<part>.replies`, to which only that part binds
queues: so nobody else can read its replies, though every service may send some, even one of the previous version or on
stock nameko. `nameko-rpc`, which all share, is declared by an administrator (`ops.broker_setup`).
"""

import re
import uuid
from typing import Any

from kombu import Exchange, Queue

from libs.amqp.queues import queue_type

RPC_EXCHANGE = Exchange("nameko-rpc", type="topic", durable=True, no_declare=True)
REPLY_KEY, STOCK_REPLY_KEY = r"[a-z]+\.replies\.[0-9a-f]+", "[0-9a-f-]{36}"
"""The keys of replies to our callers, and to stock nameko's clients, whose queues only an administrator can bind.

Services may send replies with these keys only (`ops.broker_users`): RabbitMQ closes a channel that uses another.
"""


def declare_rpc_exchange(channel: Any) -> None:
    """Declare the exchange of all calls, for an administrator."""
    channel.exchange_declare(RPC_EXCHANGE.name, RPC_EXCHANGE.type, durable=True, auto_delete=False)


def calls_queue(service: str) -> Queue:
    """Return the queue of the calls to `service`, of the type that `libs.amqp.queues` gives."""
    arguments = queue_type()
    return Queue(f"rpc-{service}", RPC_EXCHANGE, f"{service}.*", durable=True, queue_arguments=arguments)


def declare_calls(channel: Any, service: str) -> None:
    """Declare the queue of the calls to `service` and its binding; raises NotFound without `nameko-rpc`."""
    calls_queue(service)(channel).declare()


def is_reply_key(key: object) -> bool:
    """Return whether a caller's `reply_to` is a key that services may reply with."""
    return isinstance(key, str) and re.fullmatch(f"{REPLY_KEY}|{STOCK_REPLY_KEY}", key) is not None


def replies_exchange(part: str) -> Exchange:
    """Return the exchange of the replies to `part`."""
    return Exchange(f"{part}.replies", type="direct", durable=True)


def replies_pattern(part: str) -> str:
    """Return the binding key that routes the replies to `part` to their exchange."""
    return f"{part}.replies.*"


def new_reply_queue(part: str) -> Queue:
    """Return a queue for replies to one connection of `part`; it ends with the connection."""
    key = f"{part}.replies.{uuid.uuid4().hex}"
    exchange = replies_exchange(part)
    return Queue(key, exchange, key, exclusive=True, auto_delete=True, durable=False, no_ack=True)


def declare_replies(channel: Any, part: str) -> None:
    """Declare the exchange of the replies to `part` and bind it; raises NotFound without `nameko-rpc`."""
    exchange = replies_exchange(part)(channel)
    exchange.declare()
    exchange.bind_to(RPC_EXCHANGE, replies_pattern(part))
