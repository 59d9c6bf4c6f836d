"""The services' own classes in this process, on a real MongoDB and a fake Stripe; events are delivered at once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from cryptography.fernet import Fernet
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR, DependencyProvider

from auth.service import AuthService
from dev.fake_stripe.testing import SECRET_KEY, WEBHOOK_SECRET
from dev.testing import new_database
from gateway.tests.fakes import AUTH_PRIVATE, PUBLIC_KEYS, SETTINGS, never_revoked
from libs.database import connect
from libs.errors import ignoring_unavailable
from libs.events import Aggregates, Stored
from libs.events.handlers import EventHandler
from libs.rpc.caller import CallerProvider, ServiceClient
from libs.rpc.testing import ClientInMemory
from libs.schema import migrate
from libs.tokens import Signer, new_key
from ops.migrate import SCHEMAS
from orders.service import OrdersService
from payments.service import PaymentsService
from tests.in_process import closed_databases
from tickets.service import TicketsService

SERVICES = (AuthService, TicketsService, OrdersService, PaymentsService)
KEYS = {service.name: new_key(f"{service.name}:1") for service in SERVICES if service is not AuthService}
UNREACHABLE = "://127.0.0.1:1/"


class RealServices(ClientInMemory):
    """A client of the services; after each call all events of it are handled."""

    def __init__(self, mongo_urls, stripe_url, currency="usd"):
        super().__init__({})
        self.containers, self.stores = [], []
        common = {
            "AMQP_URI": f"amqp{UNREACHABLE}",
            "REDIS_URL": f"redis{UNREACHABLE}",
            "TOKEN_PUBLIC_KEYS": ",".join([PUBLIC_KEYS, *(public for _, public in KEYS.values())]),
            "CURRENCY": currency,
            "SIGN_UPS_PER_ADDRESS": 1000,
            "ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "PUBLIC_URL": "http://localhost:8000",
            "RESERVATION_WINDOW_SECONDS": 900,
            "UNPAID_RESERVATIONS_PER_BUYER": 10,
            "UNPAID_RESERVATIONS_PER_HOUR": 30,
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_PUBLISHABLE_KEY": SETTINGS["STRIPE_PUBLISHABLE_KEY"],
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": stripe_url,
        }
        for service in SERVICES:
            private = AUTH_PRIVATE if service is AuthService else KEYS[service.name][0]
            migrate(connect(mongo_urls[service.name]), SCHEMAS[service.name])
            own = {"MONGO_URL": mongo_urls[service.name], "SIGNING_KEY": private}
            self.services[service.name] = self._worker(service, common | own)

    def _worker(self, service, config):
        """Return a worker with its dependencies, as nameko would make it; calls of other services come here."""
        worker = service()
        container = Container(config, service.name)
        self.containers.append(container)  # extensions hold weak references to it
        for name, provider in vars(service).items():
            if isinstance(provider, DependencyProvider):
                bound = provider.bind(container, name)
                bound.setup()
                if isinstance(bound, CallerProvider):
                    bound.sessions.revocations = never_revoked()
                if isinstance(bound, ServiceClient):
                    bound.own.client, bound.own.signer = self, Signer(config["SIGNING_KEY"])
                if isinstance(bound, Stored):
                    self.stores.append(bound.store)
                setattr(worker, name, bound.get_dependency(SimpleNamespace(data={}, service=worker)))
        return worker

    def _call(self, *arguments):
        try:
            return super()._call(*arguments)
        finally:
            while self._deliver():
                pass

    def _deliver(self):
        """Handle the events that wait in the outboxes; return how many there were."""
        waiting = [
            (value.collection, found["_id"], pending)
            for store in self.stores
            for value in vars(store).values()
            if isinstance(value, Aggregates)
            for found in value.collection.find({"outbox.0": {"$exists": True}})
            for pending in found["outbox"]
        ]
        for collection, ident, pending in waiting:
            for event, handle in self._handlers():
                if event.name == pending["name"]:
                    with ignoring_unavailable():  # a consumer retries it later
                        handle(event.load(pending["body"]))
            collection.update_one({"_id": ident}, {"$pull": {"outbox": {"id": pending["id"]}}})
        return len(waiting)

    def _handlers(self):
        for worker in self.services.values():
            for name, method in vars(type(worker)).items():
                for entrypoint in getattr(method, ENTRYPOINT_EXTENSIONS_ATTR, ()):
                    if isinstance(entrypoint, EventHandler):
                        yield entrypoint.event, getattr(worker, name)


@contextmanager
def real_services(servers: Any, stripe_url: str) -> Iterator[RealServices]:
    """Yield the services on databases of their own, and a fake Stripe."""
    with ExitStack() as stack:
        stack.enter_context(closed_databases())
        yield RealServices({each.name: stack.enter_context(new_database(servers)) for each in SERVICES}, stripe_url)


@dataclass(eq=False)
class Container:
    """As much of a nameko container as dependencies ask for."""

    config: dict[str, Any]
    service_name: str
    entrypoints: set[Any] = field(default_factory=set)
    shared_extensions: dict[Any, Any] = field(default_factory=dict)
