import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
import redis
from cryptography.fernet import Fernet
from kombu import Connection
from werkzeug.serving import make_server

from dev.stack import free_ports
from dev.testing import ROOT, failing_commands, nameko_service, wait_for
from expiration.schedule import Schedule
from expiration.store import DeadlineStore
from gateway.app import create_app
from gateway.tests.fakes import SETTINGS, FakeServices, never_revoked
from libs import internal_port
from libs.contracts.parts import PRINCIPALS
from libs.errors import Unavailable
from libs.redis import connect
from libs.schema import migrate
from libs.tokens import new_key
from ops import health

PROBE = (sys.executable, "-I", "-S", ROOT / "ops/health.py")
SIGNING, PUBLIC = new_key("auth:1")
ANOTHER_PRIMARY = 10107  # an error of mongod's


def probe(program, *what, **settings):
    """Run the probe as containers do; return whether the program works, what the probe printed, and its CPU-seconds."""
    with subprocess.Popen([*PROBE, program, *what], env=settings, stderr=subprocess.PIPE, text=True) as process:
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode == 0, said, used.ru_utime + used.ru_stime


@pytest.fixture
def port(monkeypatch):
    """The internal port of the programs that this test starts."""
    port = free_ports().metrics
    monkeypatch.setenv("METRICS_PORT", str(port))
    return str(port)


def test_a_probe_costs_next_to_nothing(port):
    internal_port.serve({})

    costs = [probe("orders", "ready", METRICS_PORT=port) for _ in range(5)]

    assert all(works for works, _, _ in costs)
    assert min(seconds for _, _, seconds in costs) < 0.05


def test_program_that_hangs_is_not_alive(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        monkeypatch.setenv("METRICS_PORT", str(hanging.getsockname()[1]))
        monkeypatch.setattr(health, "SECONDS", 0.2)

        with pytest.raises(SystemExit, match="orders does not answer: timed out"):
            health.main("orders")


def test_program_that_has_ended_is_not_alive(port):
    works, said, _ = probe("orders", METRICS_PORT=port)

    assert not works and "orders does not answer" in said


def test_probe_without_the_port_says_what_is_missing():
    assert probe("orders")[:2] == (False, "METRICS_PORT is not the number of a port\n")


def test_gateway_that_answers_to_certain_names_alone_is_probed_by_its_address():
    settings = {"GATEWAY_TRUSTED_HOSTS": "tickets.example,www.tickets.example"}
    server = make_server("127.0.0.1", 0, create_app(FakeServices(), SETTINGS | settings, never_revoked()))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    asked = probe("gateway", "ready", GATEWAY_PORT=str(server.port))

    server.shutdown()
    server.server_close()
    assert asked[:2] == (True, "")


@pytest.fixture
def auth(amqp_url, mongo, mongo_url, port, monkeypatch):
    """The service auth, alone at its broker and database; nothing is declared again while the test runs."""
    from auth.store import UserStore  # only now: it loads eventlet

    monkeypatch.setenv("BROKER_VERIFY_SECONDS", "30")
    migrate(mongo, UserStore.schema)
    settings = {
        "AMQP_URI": amqp_url,
        "MONGO_URL": mongo_url,
        "SIGNING_KEY": SIGNING,
        "TOKEN_PUBLIC_KEYS": PUBLIC,
        "ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "PUBLIC_URL": "http://localhost:8000",
        "SIGN_UPS_PER_ADDRESS": 10,
    }
    with nameko_service("auth.service:AuthService", "rpc-auth", **settings):
        wait_for(lambda: probe("auth", "ready", METRICS_PORT=port)[0])
        yield lambda *what: probe("auth", *what, METRICS_PORT=port)[:2]


def test_a_service_that_cannot_read_its_database_or_cannot_be_called_is_alive_but_not_ready(auth, amqp_url, mongo):
    with failing_commands(mongo.users, "find", errorCode=ANOTHER_PRIMARY):
        unread, alive = auth("ready"), auth()
    assert (unread, alive) == ((False, 'auth does not work: {"failed": ["database"]}\n'), (True, ""))
    assert auth("ready") == (True, "")

    with Connection(amqp_url) as connection:  # it goes on consuming its queue
        connection.channel().queue_unbind("rpc-auth", "nameko-rpc", "auth.*")
    uncalled, alive = auth("ready"), auth()
    assert (uncalled, alive) == ((False, 'auth does not work: {"failed": ["broker"]}\n'), (True, ""))


@contextmanager
def worker(**settings):
    command = [sys.executable, "-W", "ignore", "-m", "expiration.worker"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings})
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def test_worker_is_ready_while_it_reaches_redis_the_database_and_the_broker(
    amqp_url, mongo, mongo_url, redis_url, port
):
    keys = ",".join(new_key(f"{name}:1")[1] for name in PRINCIPALS)
    urls = {"EXPIRATION_AMQP_URL": amqp_url, "EXPIRATION_MONGO_URL": mongo_url, "WORKER_REDIS_URL": redis_url}
    with worker(**urls, TOKEN_PUBLIC_KEYS=keys), redis.Redis.from_url(redis_url) as jobs:

        def check(*what):
            return probe("worker", *what, METRICS_PORT=port)[:2]

        wait_for(lambda: check("ready")[0], 20)

        with failing_commands(DeadlineStore(mongo).deadlines.collection, "find", errorCode=ANOTHER_PRIMARY):
            assert (check("ready"), check()) == (
                (False, 'worker does not work: {"failed": ["database"]}\n'),
                (True, ""),
            )
        for key in jobs.smembers("rq:workers"):
            jobs.delete(key)
        assert check("ready") == (False, 'worker does not work: {"failed": ["redis"]}\n')
        wait_for(lambda: check("ready")[0], 10, "the worker to tell Redis again that it works")


def test_scheduler_is_ready_once_redis_knows_it(redis_url):
    with connect(redis_url) as connection:
        scheduler = Schedule(connection).scheduler
        with pytest.raises(Unavailable):
            scheduler.check_registered()

        scheduler.heartbeat()

        scheduler.check_registered()


def test_scheduler_is_ready_again_after_redis_has_lost_its_data(redis_url):
    with connect(redis_url) as connection:
        scheduler = Schedule(connection).scheduler
        scheduler.heartbeat()
        connection.delete(scheduler.key)

        scheduler.heartbeat()

        scheduler.check_registered()
        assert connection.ttl(scheduler.key) > 0  # it is forgotten with its process
