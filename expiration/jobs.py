"""The job that the rq worker runs when an order's deadline comes."""

import os
from functools import cache

from expiration.store import DeadlineStore
from libs.amqp import BrokerUnavailable, Publisher
from libs.clock import utc_now
from libs.context import work
from libs.database import connect
from libs.events import Relay, VersionConflict, topology
from libs.events.provider import relay_of


def complete(order_id: str, correlation_id: str | None = None) -> bool:
    """Say ExpirationComplete if the order's deadline is open and has come; return whether it did.

    `correlation_id` is that of the work that scheduled the job.
    """
    relay, store = _relay()
    with work(correlation_id):
        deadline = store.find(order_id)
        if deadline is None or not deadline.fire(utc_now()):
            return False
        try:
            store.save_fired(deadline)
            relay.flush()
        except VersionConflict:
            return False  # the order moved on just now; whoever moved it has seen to its deadline
        except BrokerUnavailable:
            pass  # it is safe in the outbox, and the service's relay publishes it when the broker is back
        return True


@cache
def _relay() -> tuple[Relay, DeadlineStore]:
    """Return this process's connections, opened by its first job."""
    store = DeadlineStore(connect(os.environ["EXPIRATION_MONGO_URL"]))
    publisher = Publisher(os.environ["EXPIRATION_AMQP_URL"], declare=topology.declare)
    return relay_of(store, publisher), store
