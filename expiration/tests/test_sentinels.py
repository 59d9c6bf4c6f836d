"""Jobs where Sentinels choose which of two Redis servers takes writes: the other one takes over, for each program."""

import re
import subprocess
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from dev.secrets import generate, redis_password
from dev.stack import free_ports
from dev.stack.ports import HOST
from dev.stack.servers import redis_server, sentinel_command
from dev.testing import wait_for
from expiration.schedule import Schedule
from libs.clock import utc_now
from libs.errors import ignoring_unavailable
from libs.redis import connect
from ops import redis_users

pytestmark = pytest.mark.integration
SOON = timedelta(minutes=5)


@contextmanager
def running(command):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


@pytest.fixture
def pair(tmp_path):
    """Yield the process of the server that takes writes, and the address of each user at their Sentinel."""
    secrets, ports = generate(), [free_ports() for _ in range(2)]
    first, second = (ports[0].redis, ports[1].redis)
    for name in ("first", "second", "sentinel"):
        (tmp_path / name).mkdir()
    servers = [
        redis_server(tmp_path / "first", first, secrets),
        redis_server(tmp_path / "second", second, secrets, follows=f"{HOST} {first}"),
    ]
    sentinel = sentinel_command(tmp_path / "sentinel", ports[0].sentinel, secrets, f"{HOST} {first}", 1)
    conf = tmp_path / "sentinel" / "sentinel.conf"
    conf.write_text(re.sub(r"(down-after-milliseconds \w+) \d+", r"\1 300", conf.read_text()))
    place = f"@{HOST}:1,{HOST}:{ports[0].sentinel}/{redis_users.PRIMARY}/"  # nothing listens on the first of them
    passwords = {name: secrets[redis_password(name)] for name in redis_users.PROGRAMS}
    addresses = {name: f"redis+sentinel://{name}:{password}{place}" for name, password in passwords.items()}
    with ExitStack() as stack:
        processes = [stack.enter_context(running(server.command)) for server in servers]
        for server in servers:
            wait_for(server.is_ready, 20)
        stack.enter_context(running(sentinel))
        with Redis(
            port=ports[0].sentinel, username=redis_users.ADMINISTRATOR, password=secrets["REDIS_PASSWORD"]
        ) as watched:
            wait_for(lambda: knows_a_replica(watched), 30, "the Sentinel to know both servers")
        yield processes[0], addresses


def knows_a_replica(sentinel):
    with ignoring_unavailable():
        replicas = sentinel.sentinel_slaves(redis_users.PRIMARY)
        return [each for each in replicas if each["master-link-status"] == "ok"]


def test_deadlines_are_scheduled_again_once_another_redis_has_taken_over(pair):
    process, addresses = pair
    schedule, mover = (Schedule(connect(addresses[name])) for name in ("expiration", "scheduler"))
    schedule.put("o1", utc_now() + SOON)
    wait_for(lambda: mover.scheduler.acquire_lock())

    process.kill()

    def put_again():
        with ignoring_unavailable():
            schedule.put("o2", utc_now() + SOON)
            return True

    wait_for(put_again, 30, "another server to take writes")
    assert schedule.missing(["o1", "o2"]) in ([], ["o1"])  # what was not copied yet is found missing, and made again
    wait_for(lambda: mover.scheduler.connection.exists("rq:scheduler:scheduled_jobs"))


def test_a_program_asks_a_sentinel_for_the_server_and_may_do_nothing_else_there(pair):
    _, addresses = pair
    for address in addresses.values():
        with connect(address) as client:
            assert client.ping()
            asked = client.connection_pool.sentinel_manager.sentinels[0]
            for command in (
                "SENTINEL FAILOVER ticketing",
                "SENTINEL REMOVE ticketing",
                "SHUTDOWN",
                "SENTINEL SET ticketing quorum 9",
            ):
                with pytest.raises(NoPermissionError):
                    asked.execute_command(*command.split())
