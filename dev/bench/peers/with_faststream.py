"""FastStream on RabbitMQ. Reliable: a durable queue, persistent messages, and failed ones requeued.

https://faststream.ag2.ai/latest/rabbit/ack/, https://faststream.ag2.ai/latest/rabbit/message/
"""

import asyncio
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.rabbit import RabbitBroker, RabbitQueue
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from dev.bench.peers import work

broker = RabbitBroker(work.AMQP_URL)
app = FastStream(broker)
queue = RabbitQueue("bench", durable=True) if work.RELIABLE else RabbitQueue("bench")
policy: dict[str, Any] = {"ack_policy": AckPolicy.NACK_ON_ERROR} if work.RELIABLE else {}
clients: list[AsyncMongoClient[dict[str, Any]]] = []


def database() -> AsyncDatabase[dict[str, Any]]:
    """Return the database, connected in the event loop that first asks for it."""
    if not clients:
        clients.append(AsyncMongoClient(work.MONGO_URL))
    return clients[0].get_default_database()


@broker.subscriber(queue, **policy)
async def handle(ident: str) -> None:
    """Store the effect."""
    await asyncio.sleep(work.WORK_SECONDS)
    await database().effects.update_one({"_id": ident}, work.effect(), upsert=True)


async def produce() -> None:
    """Make changes."""
    await broker.connect()
    publishing: dict[str, Any] = {"persist": True} if work.RELIABLE else {}
    await work.produce_async(database().changes, lambda ident: broker.publish(ident, queue, **publishing))


if __name__ == "__main__":
    asyncio.run(produce())
