"""What a broker in trouble does to our library, and to stock nameko: a crash, an alarm of memory or disk.

On a broker of its own, because a memory alarm or a restart would disturb every other test. TICKETING_SEARCH=deep
also stops it in good order.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pymongo
import pytest
from kombu.exceptions import OperationalError

from dev.stack import Stack, free_ports
from dev.stack.programs import no_programs
from dev.testing import nameko_service, new_vhost, queue_length, self_signed, stack_folder, wait_for
from libs.amqp import BrokerUnavailable, Outgoing, Publisher
from libs.amqp.connection import connect, discard
from libs.amqp.tests.burst import PATCHES, most_handled_at_once
from libs.events import Aggregates, Relay, topology
from libs.events.tests.bakery.catalogue import CATALOGUE, LoafBaked
from libs.rpc import Client, ServiceUnavailable
from libs.rpc.entrypoint import Responder
from libs.rpc.topology import declare_rpc_exchange
from libs.tests.tcp_proxy import TcpProxy
from libs.tokens import new_key

pytestmark = pytest.mark.integration

QUEUE, SOLD = "labels.LoafBaked", "labels.LoafSold"
STOCK_CONTAINER = "nameko.containers.ServiceContainer"
STOCK_DISPATCH = "from nameko.standalone.events import event_dispatcher as e; e({'AMQP_URI': %r})('oven', 'X', {})"


@pytest.fixture(scope="module")
def broker():
    with stack_folder() as folder:
        accept_encrypted(folder / "rabbitmq" / "conf.d")
        with Stack(folder, free_ports(), programs=no_programs) as stack:
            yield stack


def accept_encrypted(folder):
    """Let the broker listen for TLS, with a self-signed certificate for 127.0.0.1."""
    folder.mkdir(parents=True)
    (certificate, key), port = self_signed(folder), free_ports().amqp
    (folder / "tls.conf").write_text(
        f"listeners.ssl.local = 127.0.0.1:{port}\n"
        f"ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n"
        f"ssl_options.cacertfile = {certificate}\n"
    )
    (folder / "port").write_text(str(port))


@pytest.fixture
def encrypted(broker):
    """The broker's address for TLS, and the file of its certificate."""
    folder = broker.folder / "rabbitmq" / "conf.d"
    port = (folder / "port").read_text()
    url = broker.amqp_url.replace("amqp://", "amqps://").replace(f":{broker.ports.amqp}/", f":{port}/")
    return url, str(folder / "certificate.pem")


def test_an_encrypted_connection_needs_a_certificate_that_we_trust(encrypted, monkeypatch):
    url, certificate = encrypted
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(url)

    monkeypatch.setenv("AMQP_CA_FILE", certificate)

    with connect(url) as connection:
        assert connection.connected
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(url.replace("127.0.0.1", "127.1"))  # the same broker by a name that its certificate lacks


@pytest.mark.parametrize("library", PATCHES)
def test_a_burst_of_events_over_an_encrypted_connection_holds_up_nothing_either(encrypted, library):
    url, certificate = encrypted

    assert most_handled_at_once(library, url, AMQP_CA_FILE=certificate) < 200


def test_the_next_broker_must_show_a_certificate_for_its_own_name(encrypted, monkeypatch):
    url, certificate = encrypted
    monkeypatch.setenv("AMQP_CA_FILE", certificate)
    away = "amqps://127.0.0.{}:1/"

    with connect(f"{away.format(2)};{url}") as connection:
        assert connection.connected
    with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):  # it has that of the unreachable one
        connect(f"{away.format(1)};{url.replace('127.0.0.1', '127.1')}")


def test_an_encrypted_connection_to_a_broker_that_hangs_is_discarded_at_once(encrypted, monkeypatch):
    url, certificate = encrypted
    monkeypatch.setenv("AMQP_CA_FILE", certificate)
    monkeypatch.setattr("libs.amqp.connection.SILENCE_SECONDS", 30)
    with closing(TcpProxy(url)) as proxy, ThreadPoolExecutor(1) as pool:
        connection = connect(proxy.url)
        proxy.silent.set()

        assert pool.submit(discard, connection).exception(10) is None


@pytest.fixture
def loaves(broker):
    with pymongo.MongoClient(broker.mongo_url("probe"), tz_aware=True) as client:
        client.drop_database("probe")
        yield Aggregates(client.probe.loaves)


ALARMS = {
    "memory": ("vm_memory_monitor set_vm_memory_high_watermark", "0.00001", "0.4"),
    "disk": ("rabbit_disk_monitor set_disk_free_limit", "1000000000000000", '"50MB"'),
}


@contextmanager
def alarm(broker, kind):
    function, too_much, usual = ALARMS[kind]
    control(broker, f"{function} [{too_much}]")
    wait_for(lambda: b"resource_limit" in control(broker, "rabbit_alarm get_alarms []"))
    try:
        yield
    finally:
        control(broker, f"{function} [{usual}]")


def control(broker, call):
    """Return what a function in the broker returns, as rabbitmqctl does, which takes a second or more to start."""
    (erl_call,) = Path("/usr/lib/erlang").glob("erts-*/bin/erl_call")
    cookie = (broker.folder / "rabbitmq" / ".erlang.cookie").read_text()
    node = broker.programs["rabbitmq"].environment["RABBITMQ_NODENAME"]
    command = [erl_call, "-sname", node, "-c", cookie, "-a", call]
    environment = {**os.environ, "ERL_EPMD_PORT": str(broker.ports.epmd)}
    return subprocess.run(command, env=environment, check=True, capture_output=True).stdout


def a_loaf(ident):
    return {"id": ident, "version": 1, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}


@pytest.mark.parametrize("kind", ALARMS)
def test_a_blocked_broker_costs_time_and_no_event(broker, loaves, kind):
    relay = Relay(Publisher(broker.amqp_url, CATALOGUE.declare, confirm_seconds=0.5), [loaves])
    loaves.add(a_loaf("b1"), LoafBaked, a_loaf("b1"))
    relay.publisher.publish([])
    with alarm(broker, kind):
        started = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            relay.flush()
        assert time.monotonic() - started < 5
        assert stock_dispatch_hangs(broker.amqp_url)

    assert relay.flush() == 1

    assert queue_length(broker.amqp_url, QUEUE) >= 1
    relay.publisher.close()


def test_publishers_leave_no_connections_behind_at_a_blocked_broker_and_say_at_once_that_it_is(broker, monkeypatch):
    opened, message = [], Outgoing("", "nowhere", b"{}", mandatory=False)
    for module in ("amqp.publisher", "rpc.entrypoint"):
        monkeypatch.setattr(
            f"libs.{module}.connect", lambda *arguments, **options: opened.append(1) or connect(*arguments, **options)
        )
    monkeypatch.setattr("libs.rpc.entrypoint.VERIFY_SECONDS", 0.4)
    with (
        closing(Publisher(broker.amqp_url, declare_rpc_exchange, 0.5)) as publisher,
        closing(Responder(broker.amqp_url)) as responder,
    ):
        publisher.publish([message])
        responder.send("gateway.replies.0", "1", b"{}")
        with alarm(broker, "memory"):
            responder.send("gateway.replies.0", "1", b"{}")
            responder.verify()
            with pytest.raises(BrokerUnavailable):
                publisher.publish([message])
            publisher.confirm_seconds = 60
            started = time.monotonic()

            with pytest.raises(BrokerUnavailable):
                publisher.check("")
            responder.verify()

            assert time.monotonic() - started < 5
        wait_for(lambda: goes_on(publisher, message))
        wait_for(lambda: responder.verify() or not responder._is_blocked)
        assert len(opened) == 2


def goes_on(publisher, message):
    with suppress(BrokerUnavailable):
        return publisher.publish([message]) == {}


def stock_dispatch_hangs(amqp_url):
    try:
        subprocess.run([sys.executable, "-W", "ignore", "-c", STOCK_DISPATCH % amqp_url], timeout=4, check=True)
    except subprocess.TimeoutExpired:
        return True
    return False


@pytest.mark.parametrize("kind", ALARMS)
def test_calls_that_fail_during_an_alarm_are_not_executed_after_it(broker, kind):
    with (
        new_vhost(broker) as url,
        nameko_service("libs.rpc.tests.probe:Probe", "rpc-probe", AMQP_URI=url, TOKEN_PUBLIC_KEYS=new_key("auth:1")[1]),
        closing(Client(url, "gateway")) as client,
    ):
        assert client.call("probe", "done") == []
        with alarm(broker, kind):  # the broker reads no further meanwhile, so that no time-out of its own begins
            with pytest.raises(ServiceUnavailable, match="no answer"):
                client.call("probe", "sleep", {"seconds": 0.001}, timeout=0.5)
            with pytest.raises(ServiceUnavailable, match="accepts nothing"):
                client.call("probe", "sleep", {"seconds": 0.001}, timeout=0.5)

        wait_for(lambda: answer(client, "probe"))
        wait_for(lambda: client.call("probe", "expired") == {"probe.sleep": 1})
        assert client.call("probe", "done") == []


class Outage(SimpleNamespace):
    """What was seen when the broker ended, with three services and a delay queue at work, and came back."""


OUTAGES: dict[str, Callable[..., None]] = {"killed": Stack.kill_for_good, "stopped": Stack.stop_program}
IS_DEEP = os.environ.get("TICKETING_SEARCH") == "deep"


@pytest.fixture(scope="module", params=OUTAGES if IS_DEEP else ["killed"])
def outage(broker, request):
    url, mongo_url, seen = broker.amqp_url, broker.mongo_url(f"outage_{request.param}"), Outage()
    settings = {"AMQP_URI": url, "MONGO_URL": mongo_url, "TOKEN_PUBLIC_KEYS": new_key("auth:1")[1]}
    with ExitStack() as stack:

        def start(module, queue, **extra):
            return stack.enter_context(nameko_service(module, queue, **settings, **extra))

        seen.services = {
            "events": start("libs.events.tests.crash_probe:Ours", QUEUE),
            "rpc": start("libs.rpc.tests.probe:Probe", "rpc-probe"),
        }
        start("libs.rpc.tests.probe:Stock", "rpc-stock", SERVICE_CONTAINER_CLS=STOCK_CONTAINER)
        mongo = stack.enter_context(pymongo.MongoClient(mongo_url, tz_aware=True))
        loaves = Aggregates(mongo.get_default_database().loaves)
        relay = Relay(Publisher(url, CATALOGUE.declare), [loaves])
        client, pool = Client(url, "gateway", timeout=20), stack.enter_context(ThreadPoolExecutor(3))
        thread = threading.Thread(target=relay.run)
        for clean_up in (client.close, relay.publisher.close, thread.join, relay.stop):  # the last one first
            stack.callback(clean_up)
        thread.start()
        parked = topology.parked_name(QUEUE)
        relay.publisher.publish([Outgoing("", parked, b"{}")])
        seen.parked = queue_length(url, parked)
        seen.delayed = delay_events(url)
        wait_for(lambda: queue_length(url, SOLD) > len(seen.delayed) // 10, 20)
        calls = [pool.submit(client.query, service, "sleep", {"seconds": 6}) for service in ("probe", "stock")]
        wait_for(lambda: [client.call(service, "begun") for service in ("probe", "stock")] == [1, 1])

        started = time.monotonic()
        OUTAGES[request.param](broker, "rabbitmq")
        loaves.add(a_loaf("in the outage"), LoafBaked, a_loaf("in the outage"))
        seen.errors = [call.exception(20) for call in calls]
        seen.failed_after = time.monotonic() - started
        time.sleep(
            max(0.0, 11 - (time.monotonic() - started))
        )  # the calls have ended by now, and stock's tries to reply
        broker.start_program("rabbitmq")
        broker.wait_ready("rabbitmq")
        seen.kept = queue_length(url, parked)
        seen.answers = wait_for(lambda: answer(client, "probe"), 20)
        seen.stock_answers = answer(client, "stock")
        notes = mongo.get_default_database().notes
        wait_for(lambda: notes.count_documents({"event": "in the outage", "what": "finished"}), 20)
        seen.alive = {name: service.poll() is None for name, service in seen.services.items()}
        yield seen


def delay_events(url):
    """Publish events to a delay queue, from which they come to SOLD two seconds later; return their ids."""

    def declare(channel):
        CATALOGUE.declare(channel)
        topology.declare_waits(channel, "labels", [2.0])

    idents = {f"e{number}" for number in range(4000)}
    with closing(Publisher(url, declare, confirm_seconds=20)) as publisher:
        waits = [Outgoing(topology.wait_name("labels", 2.0), SOLD, b"{}", {}, ident) for ident in idents]
        assert publisher.publish(waits) == {}
    return idents


def answer(client, service):
    with suppress(ServiceUnavailable):
        return client.call(service, "echo", {"value": "here"}, timeout=2)


def test_queries_in_flight_fail_when_the_broker_ends(outage):
    assert [type(error) for error in outage.errors] == [ServiceUnavailable, ServiceUnavailable]
    assert outage.failed_after < 15


def test_no_service_of_ours_ends_with_the_broker_and_stock_nameko_does(outage):
    assert outage.alive == {"events": True, "rpc": True}
    assert outage.stock_answers is None


def test_the_same_client_and_service_go_on_when_the_broker_is_back(outage):
    assert outage.answers == "here"


def test_what_was_in_a_queue_survives_the_broker(outage):
    assert outage.kept == outage.parked > 0


def test_events_dead_lettered_from_a_delay_queue_survive_the_broker(broker, outage):
    home = set()
    with connect(broker.amqp_url) as connection:
        channel = connection.channel()

        def all_are_home():
            while message := channel.basic_get(SOLD, no_ack=True):
                home.add(message.properties["message_id"])
            return home == outage.delayed

        wait_for(all_are_home, 30)
