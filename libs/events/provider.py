"""The dependency that gives a service its store, and runs the relay of its outboxes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pymongo
from nameko.extensions import DependencyProvider

from libs.database import check_readable, connect
from libs.events.aggregates import Aggregates
from libs.events.catalogue import Catalogue
from libs.events.relay import relay_of
from libs.metrics import outbox_events, outbox_waiting_seconds, when_read
from libs.schema import check
from libs.settings import AMQP_FORM, MONGO_FORM, amqp_url, parsed

SHOWN_SECONDS = 2


class StoreProvider(DependencyProvider):
    """Gives a service its store, `store_class(database)`, whose `schema` declares what the database must have.

    `catalogue` has the service's events. The relay publishes the outboxes of every attribute that is an Aggregates.
    Needs AMQP_URI and MONGO_URL in config.yml.
    """

    checked = "database"

    def __init__(self, store_class: Any, catalogue: Catalogue) -> None:
        self.store_class = store_class
        self.catalogue = catalogue

    def setup(self) -> None:
        """Open the database and prepare the relay; refuse to start when unique indexes are missing."""
        config, service = self.container.config, self.container.service_name
        database = parsed("MONGO_URL", connect, MONGO_FORM, config, service)
        check(database, self.store_class.schema, service)
        self.store = self.store_class(database)
        self.relay = relay_of(
            self.store, self.catalogue, service, parsed("AMQP_URI", amqp_url, AMQP_FORM, config, service)
        )

    def start(self) -> None:
        """Start relaying."""
        for aggregates in self.relay.aggregates:
            _show_outbox(aggregates)
        self._thread = self.container.spawn_managed_thread(self.relay.run, identifier="relay")

    def stop(self) -> None:
        """Finish the current round; what still waits is published after the next start."""
        self.relay.stop()
        self._thread.wait()
        self.relay.publisher.close()

    def check_ready(self) -> None:
        """Read the database; raise a pymongo error when it does not answer."""
        check_readable(self.relay.aggregates[0].collection)

    def get_dependency(self, worker_ctx: Any) -> Any:
        """Return the store."""
        return self.store


def _show_outbox(aggregates: Aggregates) -> None:
    """Let the metrics show what waits to be published, even if the relay hangs."""
    name = aggregates.collection.name

    def timely(read: Callable[[], float]) -> float:
        with pymongo.timeout(SHOWN_SECONDS):
            return read()

    when_read(outbox_events.labels(name), partial(timely, aggregates.count_waiting))
    when_read(outbox_waiting_seconds.labels(name), partial(timely, aggregates.waiting_seconds))
