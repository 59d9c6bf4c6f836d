"""How RabbitMQ, Redis and mongod run privately: their configuration files, commands and readiness."""

import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
import requests

from dev.secrets import redis_password
from dev.stack import install
from dev.stack.ports import HOST, Ports
from dev.stack.supervisor import Program
from libs.errors import ignoring_unavailable
from ops import mongo_setup, redis_users, replica_set
from ops.broker_users import ADMINISTRATOR

DEAD_LETTER_AGAIN = "-rabbit dead_letter_worker_publisher_confirm_timeout 5000"
"""How soon, in milliseconds, RabbitMQ retries dead-lettering an unroutable message; by default three minutes."""

MISSED_MS, FAILOVER_MS = 3000, 10000
"""How long Sentinels miss a Redis before they replace it, and how soon they try again."""


def servers(folder: Path, ports: Ports, secrets: Mapping[str, str]) -> list[Program]:
    """Write the servers' configuration under `folder` and return the servers, in order of start."""
    for name in ("rabbitmq/conf.d", "redis", "mongo"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return [
        # RabbitMQ would start a shared, detached epmd of its own; this one is ours, and is stopped with the rest.
        Program("epmd", ["epmd", "-port", str(ports.epmd), "-address", HOST], lambda: answers(ports.epmd)),
        rabbitmq(folder / "rabbitmq", ports, secrets["RABBITMQ_PASSWORD"]),
        redis_server(folder / "redis", ports.redis, secrets),
        mongo(folder / "mongo", ports.mongo, secrets),
    ]


def rabbitmq(folder: Path, ports: Ports, password: str, node: str = "ticketing@localhost", host: str = HOST) -> Program:
    """Write a broker's configuration to `folder` and return the broker, whose name in a cluster is `node`."""
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (folder / "advanced.config").write_text("[].\n")
    write_private(
        folder / "rabbitmq.conf",
        f"listeners.tcp.local = {host}:{ports.amqp}",
        f"management.tcp.ip = {host}",
        f"management.tcp.port = {ports.management}",
        f"default_user = {ADMINISTRATOR}",
        f"default_pass = {password}",
        "default_user_tags.administrator = true",
    )
    settings = {
        "HOME": str(folder),  # where Erlang keeps its cookie
        "ERL_EPMD_ADDRESS": host,
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_FLAGS": "-start_epmd false",
        "ERL_CRASH_DUMP_BYTES": "0",
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(ports.erlang),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(folder / "conf.d" / "*.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),  # not the machine's /etc/rabbitmq/rabbitmq-env.conf
        "RABBITMQ_ALLOW_INPUT": "1",  # replaces the start script by the node, so that its pid is the node's
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(
            ("-noinput", "+S 2:2", f"-kernel inet_dist_use_interface {{{host.replace('.', ',')}}}", DEAD_LETTER_AGAIN)
        ),
    }
    return Program(
        "rabbitmq",
        [install.RABBITMQ_SERVER],
        lambda: rabbitmq_is_ready(ports, password, host),
        settings,
        signal_group=False,
    )


def redis_server(
    folder: Path, port: int, secrets: Mapping[str, str], host: str = HOST, follows: str | None = None
) -> Program:
    """Write Redis's configuration and users to `folder` and return it, as a copy of the server `follows` if any."""
    password = secrets["REDIS_PASSWORD"]
    passwords = {name: secrets[redis_password(name)] for name in redis_users.RULES}
    write_private(folder / "users.acl", *redis_users.acl({**passwords, redis_users.ADMINISTRATOR: password}))
    write_private(
        folder / "redis.conf",
        f"bind {host}",
        f"port {port}",
        f"dir {_quoted(folder)}",
        f"aclfile {_quoted(folder / 'users.acl')}",
        "appendonly yes",
        'save ""',
        "maxmemory-policy noeviction",
        "databases 1024",
        "set-proc-title no",  # which overwrites the environment, by which `members` finds it
        f"replica-announce-ip {host}",
        f"masteruser {redis_users.ADMINISTRATOR}",
        f"masterauth {password}",
        *([f"replicaof {follows}"] if follows else []),
    )
    url = f"redis://{redis_users.ADMINISTRATOR}:{password}@{host}:{port}"
    return Program("redis", ["redis-server", str(folder / "redis.conf")], lambda: redis_is_ready(url))


def sentinel_command(
    folder: Path, port: int, secrets: Mapping[str, str], primary: str, quorum: int, host: str = HOST
) -> list[str]:
    """Write the configuration and users of a Sentinel to `folder` and return its command.

    It begins with the Redis server `primary`, "HOST PORT"; so many Sentinels as `quorum` must miss one to replace it.
    """
    administrator, password, name = redis_users.ADMINISTRATOR, secrets["REDIS_PASSWORD"], redis_users.PRIMARY
    passwords = {program: secrets[redis_password(program)] for program in redis_users.PROGRAMS}
    write_private(folder / "users.acl", *redis_users.sentinel_acl({**passwords, administrator: password}))
    write_private(
        folder / "sentinel.conf",
        f"bind {host}",
        f"port {port}",
        f"dir {_quoted(folder)}",
        f"aclfile {_quoted(folder / 'users.acl')}",
        "set-proc-title no",  # which overwrites the environment, by which `members` finds it
        f"sentinel announce-ip {host}",
        f"sentinel sentinel-user {administrator}",
        f"sentinel sentinel-pass {password}",
        f"sentinel monitor {name} {primary} {quorum}",
        f"sentinel auth-user {name} {administrator}",
        f"sentinel auth-pass {name} {password}",
        f"sentinel down-after-milliseconds {name} {MISSED_MS}",
        f"sentinel failover-timeout {name} {FAILOVER_MS}",
    )
    return ["redis-server", str(folder / "sentinel.conf"), "--sentinel"]


def _quoted(path: Path) -> str:
    """Return `path` as Redis reads it in its configuration, where a space ends a word."""
    return json.dumps(str(path), ensure_ascii=False)


def mongo(folder: Path, port: int, secrets: Mapping[str, str], host: str = HOST) -> Program:
    """Write mongod's key next to `folder`, where its data is, and return mongod."""
    key = folder.with_name("mongo.key")  # with it mongod accepts only its own members, and users
    write_private(key, secrets["MONGO_KEY"])
    options = {
        "--keyFile": str(key),
        "--bind_ip": host,
        "--port": str(port),
        "--dbpath": str(folder),
        "--replSet": replica_set.NAME,
        "--oplogSize": "256",
        "--wiredTigerCacheSizeGB": "0.25",
        "--journalCommitInterval": "20",  # milliseconds: of the 100 by default a linearizable read waits for the rest
        # A lone node has no other to hand over to: stop at once instead of after 15 s.
        "--setParameter": "shutdownTimeoutMillisForSignaledShutdown=100",
    }
    words = [word for option in options.items() for word in option]
    words += ["--setParameter", "enableTestCommands=1"]  # so that tests can let commands fail
    words += ["--setParameter", "scramSHA256IterationCount=5000"]  # the minimum: the passwords are random, and long
    command = [str(install.mongod()), *words, "--nounixsocket", "--quiet"]
    return Program("mongo", command, lambda: mongo_is_ready(port, secrets["MONGO_PASSWORD"]))


def answers(port: int, host: str = HOST) -> bool:
    """Return whether something accepts connections on the `port` of `host`, by default on loopback."""
    with suppress(OSError), socket.create_connection((host, port), timeout=5):
        return True
    return False


def ask(method: str, url: str, **options: Any) -> requests.Response:
    """Return the answer of a server on this machine, to which no proxy of the caller's environment leads."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, **options)


def rabbitmq_is_ready(ports: Ports, password: str, host: str = HOST) -> bool:
    """Return whether RabbitMQ answers on its management API and reports that it accepts AMQP connections."""
    url = f"http://{host}:{ports.management}/api/health/checks/port-listener/{ports.amqp}"
    with suppress(requests.RequestException):
        return ask("GET", url, auth=(ADMINISTRATOR, password), timeout=5).ok
    return False


def redis_is_ready(url: str) -> bool:
    """Return whether Redis answers and has loaded its data."""
    with ignoring_unavailable(), redis.Redis.from_url(url) as client:
        return bool(client.ping())
    return False


def mongo_is_ready(port: int, password: str) -> bool:
    """Return whether mongod is the primary of its replica set of one, and has an administrator; make it so if not."""
    member = f"{HOST}:{port}"
    with ignoring_unavailable():
        if mongo_setup.takes_writes(member, password):
            return True
        _follow_port(member, password)
    return False


def _follow_port(member: str, password: str) -> None:
    """Reconfigure the replica set of a mongod whose data were written on another port."""
    with mongo_setup.opened(member, password) as (client, is_known):
        # who creates the first user may reconfigure the set, but not read its configuration
        version = int(time.time())
        if is_known:
            known = client.admin.command("replSetGetConfig")["config"]
            if known["members"][0]["host"] == member:
                return
            version = known["version"] + 1
        client.admin.command("replSetReconfig", {**replica_set.of(member), "version": version}, force=True)


def write_private(path: Path, *lines: str) -> None:
    """Write lines to a file that only its owner can read."""
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
