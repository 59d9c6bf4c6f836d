"""Where a stack is: its folder, its ports, its secrets, the addresses that follow from them, and its processes."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from dev import secrets
from dev.stack.ports import HOST, Ports
from dev.stack.supervisor import Supervisor
from libs.contracts.parts import OPERATOR
from ops import mongo_users, redis_users, replica_set
from ops.broker_users import ADMINISTRATOR

STRIPE = ("STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET")


class Layout:
    """What the programs of a stack need to know of it; `environ` is the environment of the process that starts it."""

    def __init__(self, folder: Path, ports: Ports | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.environ = environ
        self.ports = ports or Ports.from_environment(environ)
        self.secrets = secrets.keep(self.folder / "secrets.env")
        self.supervisor = Supervisor(self.folder)

    @property
    def uses_real_stripe(self) -> bool:
        """Whether the caller's environment has all three of Stripe's keys."""
        return all(self.environ.get(setting) for setting in STRIPE)

    @property
    def amqp_url(self) -> str:
        """The AMQP address of the default vhost, with the administrator's name."""
        return self.amqp_url_of("/")

    def amqp_url_of(self, vhost: str) -> str:
        """Return the AMQP address of `vhost`, with the administrator's name."""
        user = f"{ADMINISTRATOR}:{self.secrets['RABBITMQ_PASSWORD']}"
        return f"amqp://{user}@{HOST}:{self.ports.amqp}/{quote(vhost, safe='')}"

    def amqp_url_for(self, part: str) -> str:
        """Return the AMQP address of the default vhost with the user of `part`."""
        return f"amqp://{part}:{self.secrets[secrets.broker_password(part)]}@{HOST}:{self.ports.amqp}/%2F"

    def mongo_url(self, database: str) -> str:
        """Return the address of `database` in the replica set, with the administrator's name."""
        return f"{self._mongo_url(mongo_users.ADMINISTRATOR, 'MONGO_PASSWORD', database)}&authSource=admin"

    def mongo_url_for(self, name: str) -> str:
        """Return the address of a service's own database with its user, or for `operator` that of `admin`."""
        return self._mongo_url(name, secrets.mongo_password(name), "admin" if name == OPERATOR else name)

    def _mongo_url(self, user: str, password: str, database: str) -> str:
        member = f"{HOST}:{self.ports.mongo}"
        return f"mongodb://{user}:{self.secrets[password]}@{member}/{database}?replicaSet={replica_set.NAME}"

    @property
    def redis_url(self) -> str:
        """The address of Redis's database 0, with the administrator's name; another number may be appended."""
        return self._redis_url(redis_users.ADMINISTRATOR, "REDIS_PASSWORD")

    def redis_url_for(self, program: str) -> str:
        """Return the address of Redis's database 0 with the user of `program`."""
        return self._redis_url(program, secrets.redis_password(program))

    def _redis_url(self, user: str, password: str) -> str:
        return f"redis://{user}:{self.secrets[password]}@{HOST}:{self.ports.redis}/"

    @property
    def gateway_url(self) -> str:
        """The address of the site."""
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def public_url(self) -> str:
        """The address of the site for people: passkeys refuse IP addresses."""
        return f"http://localhost:{self.ports.gateway}"

    @property
    def stripe_url(self) -> str:
        """The address of the fake Stripe."""
        return f"http://{HOST}:{self.ports.stripe}"

    @property
    def management_url(self) -> str:
        """The address of RabbitMQ's management pages."""
        return f"http://{HOST}:{self.ports.management}"

    def address_of(self, name: str) -> str:
        """Return where a program or server answers: the services, their metrics."""
        servers = {
            "gateway": self.public_url,
            "fake-stripe": f"{self.stripe_url} (its ledger of charges and refunds)",
            "rabbitmq": f"{self.management_url} (user {ADMINISTRATOR}), amqp://{HOST}:{self.ports.amqp}",
            "redis": f"redis://{HOST}:{self.ports.redis}",
            "mongo": f"mongodb://{HOST}:{self.ports.mongo}",
            "epmd": f"{HOST}:{self.ports.epmd}",
        }
        return servers.get(name) or f"http://{HOST}:{self.ports.metrics_of(name)}/metrics"

    def pid(self, name: str) -> int:
        """Return the process id of the program `name`, 0 while it does not run."""
        return int(self.supervisor.state(name)["pid"])
