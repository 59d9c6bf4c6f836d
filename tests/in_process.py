"""The five services inside this process: their own code and dependencies on real databases, called without a broker.

Nothing runs by itself: no timer, no relay, no event handler. libs/rpc/tests/test_clients.py holds this client and the
real one to the same contract.
"""

from contextlib import ExitStack, contextmanager
from functools import partial
from types import SimpleNamespace
from unittest.mock import patch

from cryptography.fernet import Fernet

from auth.service import AuthService
from dev.fake_stripe.testing import PUBLISHABLE_KEY, SECRET_KEY, WEBHOOK_SECRET
from dev.fake_stripe.testing import running as running_stripe
from dev.testing import new_database
from expiration.service import ExpirationService
from libs import database
from libs.amqp.container import Container
from libs.contracts.parts import PRINCIPALS
from libs.revocations import followed_by
from libs.rpc.caller import CallerProvider, ServiceClient
from libs.rpc.testing import ClientInMemory
from libs.schema import migrate
from libs.tokens import Signer, new_key
from ops.migrate import SCHEMAS
from orders.service import OrdersService
from payments.service import PaymentsService
from tickets.service import TicketsService

SERVICES = (AuthService, TicketsService, OrdersService, PaymentsService, ExpirationService)
connect = database._client
NOWHERE = {"AMQP_URI": "amqp://127.0.0.1:1/", "REDIS_URL": "redis://127.0.0.1:1/0"}


@contextmanager
def services_in_process(servers, fill=lambda service, database: None, services=SERVICES, keys=None, **settings):
    """Yield a client of the five `services`, or of some, and the signers of all principals by their names.

    `keys` replace the pairs of some principals, `settings` those of all services. `fill` may store documents in the
    database of each service before it is migrated.
    """
    keys = {name: new_key(f"{name}:1") for name in PRINCIPALS} | (keys or {})
    public_keys = ",".join(public for _, public in keys.values())
    client = ClientInMemory({}, timeout=10)
    with ExitStack() as stack:
        common = NOWHERE | {
            "TOKEN_PUBLIC_KEYS": public_keys,
            "CURRENCY": "usd",
            "RESERVATION_WINDOW_SECONDS": 900,
            "UNPAID_RESERVATIONS_PER_BUYER": 10,
            "UNPAID_RESERVATIONS_PER_HOUR": 30,
            "SIGN_UPS_PER_ADDRESS": 1000,
            "ENCRYPTION_KEY": Fernet.generate_key().decode(),
            "PUBLIC_URL": "http://localhost:8000",
            "STRIPE_API_BASE": stack.enter_context(running_stripe()).url,
            "STRIPE_SECRET_KEY": SECRET_KEY,
            "STRIPE_PUBLISHABLE_KEY": PUBLISHABLE_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        common |= settings
        stack.enter_context(closed_databases())
        for service_class in services:
            name, url = service_class.name, stack.enter_context(new_database(servers))
            fill(name, database.connect(url))
            migrate(database.connect(url), SCHEMAS[name])
            own = {"MONGO_URL": url, "SIGNING_KEY": keys[name][0]}
            client.services[service_class.name] = _service(Container(service_class, common | own), client)
        yield client, {name: Signer(private) for name, (private, _) in keys.items()}


@contextmanager
def closed_databases():
    """Close, when the block ends, the clients that services opened in it and never close themselves."""
    with ExitStack() as stack:

        def opened(url, **timeouts):
            return stack.enter_context(connect(url, **timeouts))

        with patch.object(database, "_client", opened):
            yield


def _service(container, client):
    """Return the service with its dependencies as a worker has them; it calls the others through `client`."""
    service = container.service_cls()
    for provider in container.dependencies:
        provider.setup()
        if isinstance(provider, CallerProvider):  # nothing follows auth, which is asked about each session
            provider.sessions.revocations = followed_by(partial(provider.sessions.own.call, "auth"))
        if isinstance(provider, ServiceClient):
            provider.own.client, provider.own.signer = client, Signer(container.config["SIGNING_KEY"])
        setattr(service, provider.attr_name, provider.get_dependency(SimpleNamespace(service=service, data={})))
    return service
