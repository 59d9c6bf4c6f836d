"""The services' own classes in this process, on a real MongoDB and a fake Stripe; events are delivered at once."""

from functools import partial

from gateway.tests.fakes import never_revoked
from libs.errors import ignoring_unavailable
from libs.events import Aggregates, StoreProvider
from libs.events.batches import BatchHandler
from libs.events.handlers import EventHandler
from tests.in_process import SERVICES, Services, built

WITHOUT_REDIS = tuple(each for each in SERVICES if each.name != "expiration")


class RealServices(Services):
    """A client of the services; after each call all events of it are handled."""

    def __init__(self, *arguments, **settings):
        self._changed = set()  # the collections in which events were saved
        super().__init__(*arguments, **settings)
        for store in self.stores:
            for value in vars(store).values():
                if isinstance(value, Aggregates):
                    value.saved = partial(self._note, value.collection)

    def _note(self, collection, *event):
        self._changed.add(collection)

    @property
    def stores(self):
        """The stores of all services."""
        found = (provider for container in self.containers for provider in container.dependencies)
        return [provider.store for provider in found if isinstance(provider, StoreProvider)]

    def _revocations(self, sessions):
        return never_revoked()

    def _call(self, *arguments):
        try:
            return super()._call(*arguments)
        finally:
            while self._deliver():
                pass

    def _deliver(self):
        """Handle the events that wait in the outboxes; return how many there were."""
        changed, self._changed = self._changed, set()
        waiting = [
            (collection, found["_id"], pending)
            for collection in changed
            for found in collection.find({"outbox_at": {"$exists": True}})
            for pending in found["outbox"]
        ]
        for collection, ident, pending in waiting:
            for event, handle in self._handlers():
                if event.name == pending["name"]:
                    with ignoring_unavailable():  # a consumer retries it later
                        handle(event.load(pending["body"]))
            collection.update_one({"_id": ident}, {"$pull": {"outbox": {"id": pending["id"]}}})
            collection.update_one({"_id": ident, "outbox": []}, {"$unset": {"outbox_at": ""}})
        return len(waiting)

    def _handlers(self):
        for container in self.containers:
            for entrypoint in container.entrypoints:
                if isinstance(entrypoint, EventHandler):
                    method = getattr(self.services[container.service_name], entrypoint.method_name)
                    is_batched = isinstance(entrypoint, BatchHandler)
                    yield entrypoint.event, partial(_alone, method) if is_batched else method


def _alone(method, body):
    method([body])


def real_services(servers, stripe_url, **settings):
    """Return a context manager of the services on databases of their own, and a fake Stripe."""
    return built(RealServices, WITHOUT_REDIS, servers, STRIPE_API_BASE=stripe_url, **settings)
