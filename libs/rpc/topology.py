"""The exchange of calls and replies and the queues of calls, named as stock nameko names them."""

from kombu import Exchange, Queue

from libs.amqp.queues import queue_type

RPC_EXCHANGE = Exchange("nameko-rpc", type="topic", durable=True)


def calls_queue(service: str) -> Queue:
    """Return the queue of the calls to `service`, of the type that `libs.amqp.queues` gives."""
    arguments = queue_type()
    return Queue(f"rpc-{service}", RPC_EXCHANGE, f"{service}.*", durable=True, queue_arguments=arguments)
