"""A cluster on one machine: three of each server and two of each program, the gateways behind a proxy.

RabbitMQ's queues are quorum queues, MongoDB is a replica set, and Sentinels choose which of two Redis servers takes
writes.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import redis
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from dev.stack.layout import Layout
from dev.stack.ports import HOST, SERVE_METRICS, Node, Ports, PortTaken, is_taken
from dev.stack.programs import BROKER_SETUP, commands, program
from dev.stack.proxy import Proxy
from dev.stack.servers import answers, mongo, rabbitmq, redis_server, sentinel_command, write_private
from dev.stack.stack import Stack, StackError
from dev.stack.supervisor import Program, wait_until
from libs.errors import ignoring_unavailable
from ops import mongo_users, redis_users, replica_set

NODES = 3
PRIMARY_SECONDS = 30
COPIES = 2
REDIS_SERVERS = 2
DISTANCE = 1000
"""The distance between the ports of one node and those of the next."""
ONCE = ("fake-stripe", BROKER_SETUP)
OF_CLUSTER = {"QUEUE_TYPE": "quorum", "GATEWAY_PROXIES": "1"}
ELECTION_MS = 5000
"""How long members of the replica set miss the primary before they elect another; by default 10 seconds."""

JOIN_AFTER = 'test -e "$1" || until > "/dev/tcp/$2/$3"; do sleep 0.2; done 2> /dev/null; shift 3; exec "$@"'
"""A command of bash for a broker that has no data yet, and joins another, once that one answers at a host and port.

If it were first, it would keep the other from founding the cluster, by a lock that it holds until it has joined it.
"""


def nodes_here(ports: Ports) -> list[Node]:
    """Return the nodes of a cluster whose proxy listens on `ports`, all on this machine's loopback interface."""
    return [Node(ports.moved(DISTANCE * number)) for number in range(1, NODES + 1)]


def copies_of_all(stack: Layout) -> list[Program]:
    """Return two copies of each program, the second as NAME-2, and one of those that a system has once."""
    programs = []
    for name in commands(stack):
        programs.append(program(name, stack))
        if name not in ONCE:
            programs += [replace(program(name, stack, copy), name=f"{name}-{copy + 1}") for copy in range(1, COPIES)]
    return programs


class Cluster(Stack):
    """A stack of three nodes; its ports `gateway` and `management` are those of the proxy."""

    ready_seconds = 900  # twenty processes start at once, perhaps on two cores

    def __init__(
        self,
        folder: Path,
        ports: Ports | None = None,
        nodes: Sequence[Node] = (),
        programs: Callable[[Layout], list[Program]] = copies_of_all,
        environ: Mapping[str, str] = os.environ,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        ports = ports or Ports.from_environment(environ)
        super().__init__(folder, ports, programs, {**environ, **OF_CLUSTER}, report, nodes or nodes_here(ports))
        brokers = [f"{node.host}:{node.ports.management}" for node in self.nodes]
        self.proxy = Proxy(self.folder / "proxy", self.ports.gateway, self.ports.management, brokers)

    @property
    def gateways(self) -> list[str]:
        """The address of each gateway behind the proxy."""
        return [f"{HOST}:{node.ports.gateway}" for node in self.nodes[:COPIES]]

    def gateway_address(self, name: str) -> str:
        """Return the address of the gateway with this name, `gateway` or `gateway-2`."""
        return self.gateways[int(name.partition("-")[2] or 1) - 1]

    def _servers(self) -> list[Program]:
        servers: list[Program] = []
        for number, node in enumerate(self.nodes, 1):
            members = [self._rabbitmq(number, node), self._mongo(number, node), self._sentinel(number, node)]
            if number <= REDIS_SERVERS:
                members.append(self._redis(number, node))
            if node.host not in {other.host for other in self.nodes[: number - 1]}:
                epmd = ["epmd", "-port", str(node.ports.epmd), "-address", node.host]
                members.insert(0, Program(f"epmd-{number}", epmd, _answering(node, node.ports.epmd)))
            servers += [replace(each, command=[*node.inside, *each.command]) for each in members]
        return [*servers, self.proxy.program(self.gateways)]

    def _rabbitmq(self, number: int, node: Node) -> Program:
        folder = self._new_folder(f"rabbitmq-{number}")
        (folder / "conf.d").mkdir(exist_ok=True)
        (folder / "conf.d" / "cluster.conf").write_text(
            "cluster_formation.peer_discovery_backend = classic_config\n"
            f"cluster_formation.classic_config.nodes.1 = {self._broker_name(1)}\n"
            "cluster_formation.discovery_retry_limit = 600\n"
            "cluster_formation.discovery_retry_interval = 1000\n"
            "cluster_partition_handling = pause_minority\n"
        )
        broker = rabbitmq(folder, node.ports, self.secrets["RABBITMQ_PASSWORD"], self._broker_name(number), node.host)
        environment = {**broker.environment, "HOME": str(self._cookie().parent), "RABBITMQ_USE_LONGNAME": "true"}
        first, command = self.nodes[0], broker.command
        if number > 1:
            awaited = [str(folder / "data"), first.host, str(first.ports.amqp)]
            command = ["bash", "-c", JOIN_AFTER, "-", *awaited, *command]
        return replace(broker, name=f"rabbitmq-{number}", command=command, environment=environment)

    def _broker_name(self, number: int) -> str:
        return f"node{number}@{self.nodes[number - 1].host}"

    def _cookie(self) -> Path:
        """Return the file with the brokers' shared secret."""
        cookie = self._new_folder("rabbitmq-1") / ".erlang.cookie"
        if not cookie.exists():
            write_private(cookie, secrets.token_hex(20))
            cookie.chmod(0o400)
        return cookie

    def _mongo(self, number: int, node: Node) -> Program:
        member = mongo(self._new_folder(f"mongo-{number}"), node.ports.mongo, self.secrets, node.host)
        command = [word for word in member.command if word != "--nounixsocket"]
        command += ["--unixSocketPrefix", str(self.folder)]
        return Program(f"mongo-{number}", command, lambda: self._is_member(node))

    def _is_member(self, node: Node) -> bool:
        """Return whether the mongod of a node is the primary or follows it; let the first one found the replica set."""
        with ignoring_unavailable(), self._member(node) as client:
            hello = client.admin.command("hello")
            if not hello.get("setName") and node is self.nodes[0]:
                founding = {**replica_set.of(*self.mongo_members), "settings": {"electionTimeoutMillis": ELECTION_MS}}
                client.admin.command("replSetInitiate", founding)
            return bool(hello["isWritablePrimary"] or hello.get("secondary"))
        return False

    @contextmanager
    def _member(self, node: Node, **options: Any) -> Iterator[MongoClient[dict[str, Any]]]:
        """Yield a connection to one mongod, over a socket in the stack's folder, where it takes the first user."""
        socket = quote(f"{self.folder}/mongodb-{node.ports.mongo}.sock", safe="")
        with MongoClient(f"mongodb://{socket}", directConnection=True, timeoutMS=5000, **options) as client:
            yield client

    def primary(self) -> Node:
        """Return the node whose mongod takes writes, once there is one; raise StackError after half a minute."""
        if not wait_until(lambda: any(map(self._takes_writes, self.nodes)), PRIMARY_SECONDS):
            raise StackError(f"no member of {replica_set.NAME} takes writes")
        return next(filter(self._takes_writes, self.nodes))

    def _takes_writes(self, node: Node) -> bool:
        with ignoring_unavailable(), self._member(node) as client:
            return bool(client.admin.command("hello")["isWritablePrimary"])
        return False

    def _make_mongo_users(self, addresses: Mapping[str, str]) -> None:
        password, migration = self.secrets["MONGO_PASSWORD"], self.secrets["MIGRATE_MONGO_PASSWORD"]
        with self._member(self.primary()) as nobody:
            try:
                mongo_users.create_administrator(nobody, password)
            except OperationFailure as refused:  # there is one
                self._report(str(refused))
        with MongoClient[dict[str, Any]](self.mongo_url("admin"), timeoutMS=20000) as client:
            mongo_users.grant_all(client, addresses, migration)

    def _set_up_broker(self) -> None:
        with mock.patch.dict(os.environ, OF_CLUSTER):  # so that this process, too, has the type of queues
            super()._set_up_broker()

    def _redis(self, number: int, node: Node) -> Program:
        """Return a Redis server; which one is the primary is configured again at each start of the cluster."""
        first, folder = self.nodes[0], self._new_folder(f"redis-{number}")
        follows = f"{first.host} {first.ports.redis}" if number > 1 else None
        return replace(redis_server(folder, node.ports.redis, self.secrets, node.host, follows), name=f"redis-{number}")

    def _sentinel(self, number: int, node: Node) -> Program:
        first, folder = self.nodes[0], self._new_folder(f"sentinel-{number}")
        command = sentinel_command(
            folder, node.ports.sentinel, self.secrets, f"{first.host} {first.ports.redis}", NODES // 2 + 1, node.host
        )
        return Program(f"sentinel-{number}", command, lambda: self._knows_all(node))

    def _knows_all(self, node: Node) -> bool:
        """Return whether a Sentinel has found the others and the replica, so that it could replace the primary."""
        user, password = redis_users.ADMINISTRATOR, self.secrets["REDIS_PASSWORD"]
        sentinel = redis.Redis(node.host, node.ports.sentinel, username=user, password=password)
        with ignoring_unavailable(), sentinel as client:
            known = client.sentinel_master(redis_users.PRIMARY)
            return known["num-other-sentinels"] == NODES - 1 and known["num-slaves"] == REDIS_SERVERS - 1
        return False

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _require_ports(self) -> None:
        ours = [(HOST, getattr(self.ports, name)) for name in ("gateway", "management", "stripe")]
        for copy, node in enumerate(self.nodes):
            servers = ("amqp", "management", "erlang", "redis", "sentinel", "mongo")
            ours += [(node.host, getattr(node.ports, name)) for name in servers]
            if copy < COPIES:
                ours += [(HOST, port) for port in (node.ports.gateway, *map(node.ports.metrics_of, SERVE_METRICS))]
        if taken := sorted({port for host, port in ours if host == HOST and is_taken(port)}):
            raise PortTaken(f"another program already listens on a port that is needed: {', '.join(map(str, taken))}")


def _answering(node: Node, port: int) -> Callable[[], bool]:
    return lambda: answers(port, node.host)
