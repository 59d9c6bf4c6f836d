"""The three servers, really running."""

import fcntl
import signal
import subprocess
import sys

import pytest
from kombu import Connection
from redis import Redis

from dev.shared_servers import SharedServers
from dev.stack import Stack, StackError
from dev.stack.__main__ import _print_addresses
from dev.stack.layout import Layout
from dev.stack.ports import free_ports
from dev.stack.servers import answers, rabbitmq_is_ready, redis_is_ready, sentinel_command
from dev.stack.supervisor import ROOT, Supervisor, environment, members
from dev.testing import proxy, wait_for

ODD = "50% off ü"
"""A folder that people have, whose name each configuration file has to quote in its own way."""

TEST_RUN = """
import sys
from pathlib import Path
from dev.shared_servers import SharedServers

shared = SharedServers(Path(sys.argv[1]))
shared.stack()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def running(stack_folder):
    """A process that uses servers as a test run does; they are below `stack_folder`."""
    (stack_folder / ODD).mkdir()
    command = [sys.executable, "-c", TEST_RUN, stack_folder / ODD]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_no_proxy_of_the_environment_leads_to_the_local_servers(servers, monkeypatch):
    with proxy() as (url, asked):
        monkeypatch.setenv("http_proxy", url)
        assert rabbitmq_is_ready(servers.ports, servers.secrets["RABBITMQ_PASSWORD"])
        servers.management("GET", "/api/overview")

    assert asked == []


def test_killed_server_restarts_with_its_data_and_none_outlives_a_killed_test_run(running, stack_folder):
    stack = Stack.join(stack_folder / ODD / "servers")
    with Redis.from_url(stack.redis_url) as redis:
        redis.set("kept", "yes")
        first = stack.pid("redis")

        stack.kill("redis")
        wait_for(lambda: stack.pid("redis") not in (0, first) and redis_is_ready(stack.redis_url), 20)

        assert redis.get("kept") == b"yes"

    running.kill()
    wait_for(lambda: not members(stack.folder), 30)
    wait_for(lambda: not (stack_folder / ODD).exists())


def test_a_sentinel_does_not_outlive_its_stack(stack_folder, tmp_path):
    port, secrets = free_ports().sentinel, Layout(stack_folder).secrets
    (folder := tmp_path / ODD).mkdir()
    command = sentinel_command(folder, port, secrets, "127.0.0.1 1", quorum=2)
    supervisor = Supervisor(stack_folder)

    with subprocess.Popen(command, env=environment(stack_folder), stdout=subprocess.DEVNULL) as sentinel:
        wait_for(lambda: answers(port))
        supervisor.kill()

        assert sentinel.wait(10) == -signal.SIGKILL


def test_a_test_run_says_why_its_servers_do_not_start(stack_folder):
    (stack_folder / "run").mkdir()
    shared = SharedServers(stack_folder / "run")
    (stack_folder / "run" / "servers").mkdir()
    with (stack_folder / "run" / "servers" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a stack that runs there holds it

        with pytest.raises(StackError, match="a stack already runs"):
            shared.stack()

    shared.close(last=True)
    assert not (stack_folder / "run").exists()


def test_who_starts_a_stack_that_already_runs_does_not_read_that_it_is_being_stopped(servers):
    said = []
    second = Stack(servers.folder, report=said.append)

    with pytest.raises(StackError, match="a stack already runs"):
        second.start()
    second.stop()

    assert said == []


def test_each_test_gets_an_empty_vhost_database_and_redis(amqp_url, mongo, redis_url):
    with Connection(amqp_url) as broker, Redis.from_url(redis_url) as redis:
        assert broker.SimpleQueue("some").qsize() == 0
        assert mongo.list_collection_names() == []
        assert redis.dbsize() == 0


def test_a_run_ends_with_a_line_for_each_program_with_its_state_and_its_address(servers, capsys):
    _print_addresses(servers)

    lines = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[-4:]]
    running = {(name, state) for name, state, _ in lines}
    assert running == {(name, "RUNNING") for name in ("epmd", "mongo", "rabbitmq", "redis")}
    assert ["redis", "RUNNING", f"redis://127.0.0.1:{servers.ports.redis}"] in lines
