"""The job that the rq worker runs when an order's deadline comes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rq import get_current_job

from expiration.schedule import QUEUE
from expiration.store import DeadlineStore
from libs import tracing
from libs.clock import utc_now
from libs.context import work
from libs.contracts.events import CATALOGUE
from libs.database import connect
from libs.events import VersionConflict
from libs.events.relay import Relay, relay_of
from libs.settings import AMQP_FORM, MONGO_FORM, amqp_url, parsed

_store: DeadlineStore | None = None


def complete(order_id: str, correlation_id: str | None = None) -> bool:
    """Publish ExpirationComplete if the order's deadline is open and has come; return whether it did.

    `correlation_id` is that of the work that scheduled the job. The worker's relay publishes the outbox.
    """
    assert _store is not None, "jobs run in a worker that relays"
    job = get_current_job()
    about = tracing.messaging_attributes("process", QUEUE, job.id if job else None, "redis")
    parent = job.meta.get(tracing.HEADER) if job else None
    with work(correlation_id), tracing.consumer_span(parent, "consumer", "process expiration.complete", about):
        deadline = _store.find(order_id)
        if deadline is None or not deadline.fire(utc_now()):
            return False
        try:
            _store.save_fired(deadline)
        except VersionConflict:
            return False  # the deadline has just changed, and with it its job
        return True


@contextmanager
def relaying() -> Iterator[Relay]:
    """Open the database for jobs that run inside the block, and relay their events; yields the relay.

    If the process crashes before it has published them, the service's own relay does.
    """
    global _store  # noqa: PLW0603 - rq calls a job with what Redis keeps, and nothing else
    _store = DeadlineStore(parsed("EXPIRATION_MONGO_URL", connect, MONGO_FORM))
    relay = relay_of(_store, CATALOGUE, "expiration", parsed("EXPIRATION_AMQP_URL", amqp_url, AMQP_FORM))
    thread = threading.Thread(target=relay.run, name="relay", daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.stop()
        thread.join()
        relay.publisher.close()
        _store.deadlines.collection.database.client.close()
        _store = None
