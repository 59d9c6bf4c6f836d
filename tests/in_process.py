"""The services inside this process: their own code and dependencies on real databases, called without a broker.

Nothing runs by itself: no timer, no relay, no event handler. libs/rpc/tests/test_clients.py holds this client and the
real one to the same contract.
"""

from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from unittest.mock import patch

from cryptography.fernet import Fernet

from auth.tests.cheap_passwords import cheap_passwords
from dev.fake_stripe.testing import SECRET_KEY, WEBHOOK_SECRET
from dev.fake_stripe.testing import running as running_stripe
from dev.testing import new_database
from gateway.tests import fakes
from libs import database
from libs.amqp.container import Container
from libs.contracts.parts import OPERATOR, PARTS
from libs.contracts.parts import SERVICES as NAMES
from libs.revocations import followed_by
from libs.rpc.caller import CallerProvider, ServiceClient
from libs.rpc.testing import ClientInMemory
from libs.schema import migrate
from libs.tokens import Signer, new_key
from ops.migrate import SCHEMAS


def service_class(name):
    """Return the class of a service."""
    module = import_module(f"{name}.service")
    return next(each for each in vars(module).values() if getattr(each, "name", None) == name)


SERVICES = tuple(map(service_class, NAMES))
KEYS = {
    **{name: new_key(f"{name}:1") for name in PARTS},
    OPERATOR: new_key(f"{OPERATOR}:olga"),
    "auth": (fakes.AUTH_PRIVATE, fakes.AUTH_PUBLIC),
    "gateway": (fakes.GATEWAY_PRIVATE, fakes.GATEWAY_PUBLIC),
}
"""The keys of each principal, private and public: a gateway with the settings of its own tests can use the services."""
PUBLIC_KEYS = ",".join(public for _, public in KEYS.values())
NOWHERE = {"AMQP_URI": "amqp://127.0.0.1:1/", "REDIS_URL": "redis://127.0.0.1:1/0"}
SETTINGS = NOWHERE | {
    "TOKEN_PUBLIC_KEYS": PUBLIC_KEYS,
    "CURRENCY": "usd",
    "RESERVATION_WINDOW_SECONDS": 900,
    "UNPAID_RESERVATIONS_PER_BUYER": 10,
    "UNPAID_RESERVATIONS_PER_HOUR": 30,
    "SIGN_UPS_PER_ADDRESS": 1000,
    "ENCRYPTION_KEY": Fernet.generate_key().decode(),
    "PUBLIC_URL": "http://localhost:8000",
    "STRIPE_SECRET_KEY": SECRET_KEY,
    "STRIPE_PUBLISHABLE_KEY": fakes.SETTINGS["STRIPE_PUBLISHABLE_KEY"],
    "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
}
connect = database._client


class Services(ClientInMemory):
    """A client of services of these classes, each of which has a migrated database in `mongo_urls`."""

    def __init__(self, classes, mongo_urls, **settings):
        super().__init__({}, timeout=10)
        self.containers = []  # extensions hold weak references to them
        for service_class in classes:
            name = service_class.name
            own = {"MONGO_URL": mongo_urls[name], "SIGNING_KEY": KEYS[name][0]}
            self.containers.append(Container(service_class, SETTINGS | settings | own))
            self.services[name] = self._worker(self.containers[-1])
        if "auth" in self.services:
            self.services["auth"].store.operators.add("olga", KEYS[OPERATOR][1], "the tests")

    def _worker(self, container):
        """Return a worker with its dependencies, as nameko would make it; it calls the other services here."""
        worker = container.service_cls()
        for provider in container.dependencies:
            provider.setup()
            if isinstance(provider, CallerProvider):
                provider.sessions.revocations = self._revocations(provider.sessions)
            if isinstance(provider, ServiceClient):
                provider.own.client, provider.own.signer = self, Signer(container.config["SIGNING_KEY"])
            setattr(worker, provider.attr_name, provider.get_dependency(SimpleNamespace(service=worker, data={})))
        return worker

    def _revocations(self, sessions):
        """Return the revocations for a service: nothing follows auth, which is asked about each session."""
        return followed_by(partial(sessions.own.call, "auth"))


@contextmanager
def services_in_process(servers, fill=lambda service, database: None, services=SERVICES, **settings):
    """Yield a client of all `services`, or of some, and the signers of all principals by their names.

    `settings` replace some of all services. `fill` may store documents in the database of each before it is migrated.
    Meanwhile this process hashes passwords cheaply.
    """
    with running_stripe() as stripe, cheap_passwords():
        settings = {"STRIPE_API_BASE": stripe.url, **settings}
        with built(Services, services, servers, fill, **settings) as client:
            yield client, {name: Signer(private) for name, (private, _) in KEYS.items()}


@contextmanager
def built(kind, classes, servers, fill=lambda service, database: None, **settings):
    """Yield services of the given kind on new databases."""
    with ExitStack() as stack:
        stack.enter_context(closed_databases())
        urls = {each.name: stack.enter_context(new_database(servers)) for each in classes}
        for name, url in urls.items():
            fill(name, database.connect(url))
            migrate(database.connect(url), SCHEMAS[name])
        yield kind(classes, urls, **settings)


@contextmanager
def closed_databases():
    """Close, when the block ends, the clients that services opened in it and never close themselves."""
    with ExitStack() as stack:

        def opened(url, **timeouts):
            return stack.enter_context(connect(url, **timeouts))

        with patch.object(database, "_client", opened):
            yield
