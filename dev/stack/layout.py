"""Where a stack is: its folder, its ports, its secrets, the addresses that follow from them, and its processes."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from dev.stack import secrets
from dev.stack.ports import HOST, Ports
from dev.stack.supervisor import Supervisor
from ops import replica_set
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
        """Return the address of `database` in the replica set."""
        return f"mongodb://{HOST}:{self.ports.mongo}/{database}?replicaSet={replica_set.NAME}"

    @property
    def redis_url(self) -> str:
        """The address of Redis's database 0; another number may be appended after the slash."""
        return f"redis://:{self.secrets['REDIS_PASSWORD']}@{HOST}:{self.ports.redis}/"

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

    def pid(self, name: str) -> int:
        """Return the process id of the program `name`, 0 while it does not run."""
        return int(self.supervisor.state(name)["pid"])

    def started_at(self, name: str) -> int:
        """Return when the program `name` was last started, in seconds since 1970."""
        return int(self.supervisor.state(name)["start"])
