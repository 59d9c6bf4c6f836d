"""Where a stack is: its folder, its ports, its secrets, the addresses that follow from them, and its processes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from dev import secrets
from dev.stack.ports import HOST, Node, Ports
from dev.stack.supervisor import Supervisor
from libs.contracts.parts import SERVICES
from ops import mongo_users, redis_users, replica_set
from ops.broker_users import ADMINISTRATOR

STRIPE = ("STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET")


class Layout:
    """The data of a stack that its programs need; `environ` is the environment of the process that starts it.

    Its servers are those of `nodes`, by default one of each, on the stack's own ports.
    """

    def __init__(
        self,
        folder: Path,
        ports: Ports | None = None,
        environ: Mapping[str, str] = os.environ,
        nodes: Sequence[Node] = (),
    ) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.environ = environ
        self.ports = ports or Ports.from_environment(environ)
        self.nodes = nodes or (Node(self.ports),)
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
        return self._amqp_url(ADMINISTRATOR, "RABBITMQ_PASSWORD", quote(vhost, safe=""))

    def amqp_url_for(self, part: str, first: int = 0) -> str:
        """Return the AMQP address of the default vhost with the user of `part`, beginning with the node `first`."""
        return self._amqp_url(part, secrets.broker_password(part), "%2F", first)

    def _amqp_url(self, user: str, password: str, vhost: str, first: int = 0) -> str:
        nodes, user = (*self.nodes[first:], *self.nodes[:first]), f"{user}:{self.secrets[password]}"
        return ";".join(f"amqp://{user}@{node.host}:{node.ports.amqp}/{vhost}" for node in nodes)

    def mongo_url(self, database: str) -> str:
        """Return the address of `database` in the replica set, with the administrator's name."""
        return f"{self._mongo_url(mongo_users.ADMINISTRATOR, 'MONGO_PASSWORD', database)}&authSource=admin"

    def mongo_url_for(self, name: str) -> str:
        """Return the address of a service's own database with its user, or with another user that of `admin`."""
        return self._mongo_url(name, secrets.mongo_password(name), name if name in SERVICES else "admin")

    def _mongo_url(self, user: str, password: str, database: str) -> str:
        members = ",".join(self.mongo_members)
        url = f"mongodb://{user}:{self.secrets[password]}@{members}/{database}?replicaSet={replica_set.NAME}"
        # With one member there are no elections to detect, for which every client would wake up twice a second.
        return url if len(self.mongo_members) > 1 else f"{url}&serverMonitoringMode=poll"

    @property
    def mongo_members(self) -> list[str]:
        """The address of each member of the replica set for the others."""
        return [f"{node.host}:{node.ports.mongo}" for node in self.nodes]

    @property
    def redis_url(self) -> str:
        """The address of Redis's database 0, with the administrator's name; another number may be appended."""
        return self._redis_url(redis_users.ADMINISTRATOR, "REDIS_PASSWORD")

    def redis_url_for(self, program: str) -> str:
        """Return the address of Redis's database 0 with the user of `program`."""
        return self._redis_url(program, secrets.redis_password(program))

    def _redis_url(self, user: str, password: str) -> str:
        if len(self.nodes) == 1:
            return f"redis://{user}:{self.secrets[password]}@{HOST}:{self.ports.redis}/"
        sentinels = ",".join(f"{node.host}:{node.ports.sentinel}" for node in self.nodes)
        return f"redis+sentinel://{user}:{self.secrets[password]}@{sentinels}/{redis_users.PRIMARY}/"

    @property
    def gateway_url(self) -> str:
        """The address of the site."""
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def public_url(self) -> str:
        """The address of the site for browsers: passkeys refuse IP addresses."""
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
        """Return the address of a program or server; for services, that of their metrics."""
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
