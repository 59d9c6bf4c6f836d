"""Each program of expiration has just the rights at Redis that it needs; nobody else may do anything."""

import subprocess
from contextlib import contextmanager
from datetime import timedelta

import pytest
from redis import AuthenticationError, Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry
from rq.serializers import JSONSerializer

from dev.secrets import generate, redis_password
from dev.stack import free_ports
from dev.stack.servers import redis_server
from dev.testing import wait_for
from expiration import jobs
from expiration.schedule import QUEUE, JsonJob, Schedule
from expiration.worker import LoopingWorker
from libs.clock import utc_now
from libs.contracts.parts import MONITOR
from libs.redis import connect
from ops import redis_users


@pytest.fixture
def users(servers, redis_url):
    """The address of each program's user in this test's database."""
    number = redis_url.rpartition("/")[2]
    return {program: f"{servers.redis_url_for(program)}{number}" for program in redis_users.PROGRAMS}


def test_a_job_is_scheduled_moved_and_executed_with_the_rights_of_each_program(users, redis_url, monkeypatch):
    done = []
    monkeypatch.setattr(jobs, "complete", lambda *arguments: done.append(arguments))
    with Redis.from_url(redis_url) as administrator:
        administrator.acl_log_reset()
        expiration, mover = (Schedule(connect(users[name])) for name in ("expiration", "scheduler"))
        for ident in ("o1", "o2"):
            expiration.put(ident, utc_now() - timedelta(seconds=2))
        expiration.remove("o2")
        assert expiration.missing(["o1", "o2"]) == ["o2"]

        mover.scheduler.heartbeat()
        mover.scheduler.check_registered()
        mover.scheduler.acquire_lock()
        mover.scheduler.enqueue_jobs()
        mover.scheduler.remove_lock()
        mover.scheduler.register_death()
        worker = LoopingWorker(
            [QUEUE], connection=connect(users["worker"]), job_class=JsonJob, serializer=JSONSerializer
        )
        worker._install_signal_handlers = lambda: None  # this process has its own
        worker.work(burst=True, logging_level="WARNING")
        worker.check_registered(connect(users["worker"]))

        assert [order_id for order_id, _ in done] == ["o1"]
        assert [entry for entry in administrator.acl_log() if entry["username"] in users] == []


ATTEMPTS = {
    "read": lambda client: client.get("other"),
    "write": lambda client: client.set("other", 1),
    "see all keys": lambda client: client.keys("*"),
    "empty": lambda client: client.flushall(),
    "configure": lambda client: client.config_set("dir", "/"),
    "execute": lambda client: client.eval("return 1", 0),
    "see users": lambda client: client.acl_list(),
    "replicate": lambda client: client.replicaof("127.0.0.1", 1),
    "stop": lambda client: client.execute_command("SHUTDOWN"),
    "listen": lambda client: client.execute_command("MONITOR"),
    "publish": lambda client: client.publish("other", "x"),
}


@pytest.mark.parametrize("program", redis_users.PROGRAMS)
def test_a_program_can_do_nothing_else(program, users):
    with connect(users[program]) as client:
        for attempt in ATTEMPTS.values():
            with pytest.raises(NoPermissionError):
                attempt(client)


WATCHED = {
    "read a job": lambda client: client.hgetall("rq:job:expire-o1"),
    "write a job": lambda client: client.hset("rq:job:expire-o1", "status", "queued"),
    "see the administrator's password": lambda client: client.config_get("masterauth"),
    "see what was written": lambda client: client.slowlog_get(),
    "see who is connected": lambda client: client.client_list(),
}


@pytest.mark.parametrize("attempt", [*ATTEMPTS.values(), *WATCHED.values()], ids=[*ATTEMPTS, *WATCHED])
def test_the_exporter_sees_the_state_of_redis_and_nothing_else(attempt, servers):
    """It had the scheduler's user, who writes jobs."""
    with connect(servers.redis_url_for(MONITOR)) as client:
        assert client.info("replication")["role"] == "master"
        with pytest.raises(NoPermissionError):
            attempt(client)


def test_who_has_no_password_can_do_nothing(servers):
    with Redis(port=servers.ports.redis, retry=Retry(NoBackoff(), 0)) as nobody:
        for attempt in (*ATTEMPTS.values(), lambda client: client.get("rq:x"), lambda client: client.ping()):
            with pytest.raises(AuthenticationError):
                attempt(nobody)


def test_what_was_written_in_a_transaction_is_still_there_when_redis_has_started_again(tmp_path):
    secrets, port = generate(), free_ports().redis
    program = redis_server(tmp_path, port, secrets)
    with connect(f"redis://worker:{secrets[redis_password('worker')]}@127.0.0.1:{port}/") as client:
        with running(program), client.pipeline() as transaction:
            transaction.hset("rq:job", "data", "o1").zadd("rq:jobs", {"o1": 1}).execute()
        with running(program):
            assert client.exists("rq:job", "rq:jobs") == 2


@contextmanager
def running(program):
    process = subprocess.Popen(program.command, stdout=subprocess.DEVNULL)
    try:
        wait_for(program.is_ready, 20)
        yield
    finally:
        process.terminate()
        process.wait(20)
