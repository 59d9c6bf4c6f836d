import json
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from kombu import Connection, Queue

from dev.testing import nameko_service, new_vhost, queue_length, wait_for
from libs.amqp import Outgoing, Publisher
from libs.amqp.container import MOST_WAITING
from libs.amqp.tests.malformed import MALFORMED, publish_malformed
from libs.events.tests.bakery.catalogue import CATALOGUE
from libs.rpc import Client, RemoteError, ServiceUnavailable, deadlines
from libs.rpc import client as rpc_client
from libs.rpc.entrypoint import Responder, encoded_reply
from libs.rpc.topology import RPC_EXCHANGE
from libs.tests.tcp_proxy import TcpProxy
from libs.tokens import new_key

PROBE, STOCK = "libs.rpc.tests.probe:Probe", "libs.rpc.tests.probe:Stock"
PRIVATE, PUBLIC = new_key("auth:1")
SERVICE_PRIVATE, SERVICE_PUBLIC = new_key("orders:1")
PUBLIC_KEYS = f"{PUBLIC},{SERVICE_PUBLIC}"
STOCK_CALLS = """
from nameko.exceptions import RemoteError
from nameko.standalone.rpc import ClusterRpcProxy
with ClusterRpcProxy({"AMQP_URI": %r}, timeout=10) as n:
    print(n.probe.echo("x"), n.probe.echo.call_async(value="y").result())
    try:
        n.probe.refuse()
    except RemoteError as error:
        print(error.exc_type)
"""


@pytest.fixture(scope="module")
def broker_url(servers):
    with new_vhost(servers) as url:
        yield url


@pytest.fixture(scope="module")
def client(broker_url):
    """A client of the services that the module's tests share: ours, and one of stock nameko."""
    with start(broker_url), start_stock(broker_url), closing(Client(broker_url, "gateway", timeout=10)) as client:
        yield client


@pytest.fixture
def alone(amqp_url):
    """A client on a broker where no service runs yet."""
    with closing(Client(amqp_url, "gateway", timeout=5)) as client:
        yield client


def start(amqp_url, **config):
    return nameko_service(PROBE, "rpc-probe", AMQP_URI=amqp_url, TOKEN_PUBLIC_KEYS=PUBLIC_KEYS, **config)


def start_stock(amqp_url):
    return nameko_service(
        STOCK, "rpc-stock", AMQP_URI=amqp_url, SERVICE_CONTAINER_CLS="nameko.containers.ServiceContainer"
    )


def test_many_calls_at_once_each_get_their_own_answer(client):
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: client.call("probe", "echo", {"value": number}), range(300)))

    assert answers == list(range(300))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{broken", {}),
        (b"[" * 100_000, {}),
        (b"[]", {}),
        (b'{"args": [], "kwargs": {"value": 1}}', {"nameko.timeout_ms": "soon"}),
        (b'{"args": [], "kwargs": {"value": 1}}', {"nameko.correlation_id": 7, "nameko.token": [1]}),
        (b'{"args": [], "kwargs": {"value": 1}}', {"nameko.call_id_stack": 7, "compression": 7}),
    ],
)
def test_no_request_however_odd_ends_the_service(client, broker_url, body, headers):
    with closing(Publisher(broker_url)) as publisher:
        publisher.publish([Outgoing("nameko-rpc", "probe.echo", body, headers)])

    assert client.call("probe", "echo", {"value": 1}) == 1
    wait_for(lambda: queue_length(broker_url, "rpc-probe") == 0)


@pytest.mark.parametrize("flaw", MALFORMED)
def test_a_request_that_no_library_can_read_is_answered_with_an_error_and_ends_nothing(client, broker_url, flaw):
    with Connection(broker_url) as connection:
        channel = connection.channel()
        queue = Queue("", RPC_EXCHANGE, "tests.replies.1f", channel=channel, exclusive=True)
        queue.declare()
        request = b'{"args": [], "kwargs": {"value": 1}}'
        publish_malformed(broker_url, flaw, "nameko-rpc", "probe.echo", request, reply_to="tests.replies.1f")
        reply = wait_for(queue.get)

    assert json.loads(reply.body)["error"]["exc_type"] == "MalformedRequest"
    assert client.call("probe", "echo", {"value": 1}) == 1
    wait_for(lambda: queue_length(broker_url, "rpc-probe") == 0)


@pytest.mark.parametrize("flaw", [*MALFORMED, "no reply"])
def test_an_answer_that_no_library_can_read_fails_its_call_at_once_and_no_other(client, broker_url, flaw):
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.call, "probe", "sleep", {"seconds": 3})  # which is answered then
        (ident,) = wait_for(lambda: list(client._waiting))
        thread = client._thread
        body = b"[]" if flaw == "no reply" else b'{"result": 1, "error": null}'
        publish_malformed(broker_url, flaw, "nameko-rpc", client._reply_to, body, correlation_id=ident)

        assert isinstance(call.exception(5), ServiceUnavailable)
    assert client.call("probe", "echo", {"value": 2}) == 2
    assert client._thread is thread


def test_a_call_whose_deadline_has_passed_is_not_executed(alone, amqp_url):
    with Connection(amqp_url) as connection:  # the queue of a service that does not run now
        Queue("rpc-probe", RPC_EXCHANGE, "probe.*", channel=connection).declare()
    with pytest.raises(ServiceUnavailable, match="no answer") as late:
        alone.call("probe", "sleep", {"seconds": 0.001}, timeout=1)
    assert not late.value.is_reply

    with start(amqp_url):
        wait_for(lambda: queue_length(amqp_url, "rpc-probe") == 0)
        assert alone.call("probe", "done") == []


def test_a_call_that_gets_no_answer_while_the_broker_is_blocked_says_so(alone, amqp_url):
    with start(amqp_url), ThreadPoolExecutor(1) as pool:
        assert alone.call("probe", "begun") == 0
        call = pool.submit(alone.call, "probe", "sleep", {"seconds": 2}, timeout=1.5)
        wait_for(lambda: alone.call("probe", "begun"))
        alone._blocked("low on memory")  # as the broker says after it has received the call

        with pytest.raises(ServiceUnavailable, match="no answer in time: the broker accepts nothing now"):
            call.result()


def test_a_call_that_waited_too_long_for_a_worker_is_not_executed(alone, amqp_url):
    with start(amqp_url, max_workers=1), ThreadPoolExecutor(1) as pool:
        slow = pool.submit(alone.call, "probe", "sleep", {"seconds": 1})
        wait_for(lambda: alone._waiting)

        with pytest.raises(ServiceUnavailable):
            alone.call("probe", "sleep", {"seconds": 0.01}, timeout=0.3)

        slow.result()
        assert alone.call("probe", "done") == [1]


def test_slow_calls_keep_no_other_waiting_and_the_most_that_may_wait_do(alone, amqp_url):
    def is_refused():
        with pytest.raises(ServiceUnavailable) as problem:
            alone.call("probe", "wait", {"seconds": 600}, timeout=0.5)
        return problem.value.is_reply and "too many calls wait" in str(problem.value)

    with start(amqp_url, max_workers=1, max_slow_workers=1), ThreadPoolExecutor(MOST_WAITING) as pool:
        for _ in range(MOST_WAITING):
            pool.submit(alone.call, "probe", "wait", {"seconds": 600}, timeout=5)

        wait_for(is_refused, 5, "too many calls to wait")
        assert alone.call("probe", "echo", {"value": "x"}) == "x"


def test_a_call_whose_deadline_passed_while_it_waited_in_the_service_is_not_executed(alone, amqp_url):
    with busy_service(amqp_url):
        with pytest.raises(ServiceUnavailable):
            alone.call("labels", "sleep", {"seconds": 0.01}, timeout=1)

        assert alone.call("labels", "done") == []
        assert alone.call("labels", "expired") == {"labels.sleep": 1}


@contextmanager
def paused(process):
    """Pause a process while the block runs."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@pytest.fixture(params=[0, 120_000, -120_000], ids=["same clock", "two minutes fast", "two minutes slow"])
def elsewhere(request, monkeypatch):
    """The clocks of this process and of services are apart, as those of two machines are."""
    monkeypatch.setattr(rpc_client, "clock_ms", lambda: deadlines.clock_ms() + request.param)


@pytest.mark.parametrize("has_called", [True, False])
def test_a_call_that_waited_in_a_paused_service_until_its_caller_gave_up_is_not_executed(
    alone, amqp_url, elsewhere, has_called
):
    with start(amqp_url) as service:
        if has_called:
            alone.call("probe", "echo", {"value": 1})
        with paused(service), pytest.raises(ServiceUnavailable, match="no answer"):
            alone.call("probe", "sleep", {"seconds": 0.001}, timeout=0.5 if has_called else 1.5)

        wait_for(lambda: alone.call("probe", "expired") == {"probe.sleep": 1})
        assert alone.call("probe", "done") == []


def test_a_call_that_waited_in_a_paused_service_is_executed_while_its_caller_waits(alone, amqp_url, elsewhere):
    with start(amqp_url) as service, ThreadPoolExecutor(1) as pool:
        with paused(service):
            call = pool.submit(alone.call, "probe", "sleep", {"seconds": 0.001})
            wait_for(lambda: alone._waiting and queue_length(amqp_url, "rpc-probe") == 0)

        assert call.result(5) is None
        assert alone.call("probe", "done") == [0.001]


def test_a_clock_is_asked_for_once_and_later_calls_cost_no_message(broker_url, client, monkeypatch):
    shown = []
    monkeypatch.setattr(rpc_client, "clock_ms", lambda: shown.append(1) or deadlines.clock_ms())
    with closing(Client(broker_url, "gateway", timeout=10)) as another:
        for _ in range(20):
            another.call("probe", "echo", {"value": 1})

    assert len(shown) == 20 + 1


def test_a_call_whose_caller_has_ended_is_not_executed(alone, amqp_url):
    headers = {"nameko.timeout_ms": 1000, "nameko.deadline_ms": 2**50}
    request = Outgoing("nameko-rpc", "probe.sleep", b'{"args": [0.001], "kwargs": {}}', headers)
    with start(amqp_url), closing(Publisher(amqp_url)) as publisher:
        publisher.publish([request])

        wait_for(lambda: alone.call("probe", "expired") == {"probe.sleep": 1})
        assert alone.call("probe", "done") == []


@pytest.mark.parametrize(("method", "seconds"), [("call", 1.5), ("query", 0)])
def test_nobody_hears_that_a_command_failed_while_it_may_yet_begin(amqp_url, method, seconds):
    with start(amqp_url), closing(TcpProxy(amqp_url)) as proxy, closing(Client(proxy.url, "gateway")) as client:
        client.call("probe", "echo", {"value": 1})
        with ThreadPoolExecutor(1) as pool:
            started = time.monotonic()
            call = pool.submit(getattr(client, method), "probe", "sleep", {"seconds": 1.4}, timeout=1.5)
            wait_for(lambda: client._waiting)
            proxy.close()

            assert isinstance(call.exception(5), ServiceUnavailable)
            assert seconds <= time.monotonic() - started


def test_callers_see_an_error_by_the_name_that_its_class_gives_them():
    class Unreachable(Exception):
        error_name = "Unreachable"

    class TimedOut(Unreachable):
        pass

    assert json.loads(encoded_reply(None, TimedOut("after 5 s")))["error"]["exc_type"] == "Unreachable"


@contextmanager
def busy_service(amqp_url):
    """Run a service whose only worker handles an event for three seconds."""
    event = {"id": "b1", "version": 1, "grain": "rye", "baked_at": "2026-11-22T12:00:00.000Z"}
    message = Outgoing("oven.events", "LoafBaked", json.dumps(event).encode())
    module, queue = "libs.rpc.tests.probe:Listening", "labels.LoafBaked"
    with nameko_service(module, queue, AMQP_URI=amqp_url, TOKEN_PUBLIC_KEYS=PUBLIC_KEYS, max_workers=1) as service:
        with closing(Publisher(amqp_url, CATALOGUE.declare)) as publisher:
            publisher.publish([message])
        wait_for(lambda: queue_length(amqp_url, queue) == 0, what="the only worker to be at work")
        yield service


def test_a_service_with_one_worker_stops_once_its_call_is_done(alone, amqp_url):
    with busy_service(amqp_url) as stopped, ThreadPoolExecutor(1) as pool:
        call = pool.submit(alone.call, "labels", "sleep", {"seconds": 0.1})
        wait_for(lambda: alone._waiting and queue_length(amqp_url, "rpc-labels") == 0)
        stopped.send_signal(signal.SIGTERM)

        assert stopped.wait(15) == 0

        assert call.exception(10) is None


def test_a_client_that_waits_for_answers_ends_when_it_is_closed(broker_url, client, monkeypatch):
    monkeypatch.setattr("libs.rpc.client.POLL_SECONDS", 30.0)
    monkeypatch.setenv("BROKER_VERIFY_SECONDS", "30")
    another = Client(broker_url, "gateway")
    another.call("probe", "echo", {"value": 1})

    another.close()

    assert not another._thread.is_alive()


def test_calls_in_flight_fail_when_their_client_is_closed(broker_url, client):
    with ThreadPoolExecutor(1) as pool, closing(Client(broker_url, "gateway", timeout=10)) as another:
        call = pool.submit(another.call, "probe", "sleep", {"seconds": 1.5})
        wait_for(lambda: another._waiting)

        another.close()

        with pytest.raises(ServiceUnavailable, match="closed"):
            call.result(10)


def test_a_stop_finishes_the_calls_in_progress_and_repeats_none(alone, amqp_url):
    with start(amqp_url) as stopped, ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(alone.call, "probe", "sleep", {"seconds": 2.5}) for _ in range(3)]
        wait_for(lambda: alone.call("probe", "begun") == 3)
        stopped.send_signal(signal.SIGTERM)
        assert [call.result() for call in calls] == [None, None, None]
        stopped.wait(15)

    assert queue_length(amqp_url, "rpc-probe") == 0


def test_a_broker_that_says_nothing_gets_no_more_answers_to_pass_on(broker_url, monkeypatch):
    monkeypatch.setattr("libs.rpc.entrypoint.VERIFY_SECONDS", 0.4)
    with closing(TcpProxy(broker_url)) as proxy, closing(Responder(proxy.url)) as responder:
        responder.send("gateway.replies.0", "1", b"{}")
        proxy.silent.set()

        responder.verify()

        assert responder._channel is None


def test_an_answer_waits_no_longer_for_others_than_its_caller_does(broker_url, caplog):
    responder = Responder(broker_url)
    with ThreadPoolExecutor(1) as pool, responder._lock:  # as while another connects to a broker that hangs
        pool.submit(responder.verify).result(10)
        pool.submit(responder.send, "gateway.replies.0", "1", b"{}", 0.1).result(10)

    assert "a reply could not be sent in time" in caplog.text


def test_time_outs_leave_nothing_behind(client, servers, broker_url):
    client.call("probe", "echo", {"value": 1})
    before = queues(servers, broker_url)

    for _ in range(10):
        with pytest.raises(ServiceUnavailable):
            client.call("probe", "sleep", {"seconds": 0.2}, timeout=0.02)

    wait_for(lambda: client._read_returns() or len(channels(client)) == 2, what="the channels used before to be closed")
    assert queues(servers, broker_url) == before
    assert client._waiting == {}


def test_a_call_ends_in_time_though_the_broker_hangs(broker_url, client, monkeypatch):
    monkeypatch.setattr("libs.amqp.connection.SILENCE_SECONDS", 60)
    with (
        closing(TcpProxy(broker_url)) as proxy,
        closing(Client(proxy.url, "gateway")) as another,
        ThreadPoolExecutor(1) as pool,
    ):
        another.call("probe", "echo", {"value": 1})
        proxy.silent.set()

        for _ in range(3):
            call = pool.submit(another.call, "probe", "echo", {"value": 1}, timeout=0.2)
            assert isinstance(call.exception(5), ServiceUnavailable)


def test_calls_are_answered_by_way_of_another_broker_after_one_hangs(broker_url, client, monkeypatch):
    monkeypatch.setattr(rpc_client, "SILENCE_SECONDS", 0.1)
    monkeypatch.setattr(rpc_client, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(rpc_client, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(rpc_client, "POLL_SECONDS", 0.2)
    with (
        closing(TcpProxy(broker_url)) as proxy,
        closing(Client(f"{proxy.url};{broker_url}", "gateway", timeout=0.5)) as another,
    ):
        another.call("probe", "echo", {"value": 1}, timeout=10)
        proxy.silent.set()

        def answer():
            with suppress(ServiceUnavailable):
                return another.call("probe", "echo", {"value": 2})

        assert wait_for(answer, 20) == 2


def test_nobody_waits_for_a_missing_service_though_others_got_no_answer(broker_url, client, monkeypatch):
    monkeypatch.setattr(rpc_client, "RETURN_CHECK_SECONDS", 60)
    with closing(Client(broker_url, "gateway", timeout=20)) as another, ThreadPoolExecutor(1) as pool:
        another.call("probe", "echo", {"value": 1})
        call = pool.submit(another.call, "nobody", "echo", {"value": 1})
        wait_for(lambda: another._waiting)

        def is_over():
            another._is_doubtful = True  # as after a call without an answer
            another.call("probe", "echo", {"value": 1})
            return call.done()

        wait_for(is_over)
        assert "no such service" in str(call.exception())


def test_a_call_to_a_missing_service_casts_no_doubt_on_the_channel(broker_url, client):
    with closing(Client(broker_url, "gateway", timeout=5)) as another:
        with pytest.raises(ServiceUnavailable, match="no such service"):
            another.call("nobody", "echo", {"value": 1})
        channel = another._channel

        another.call("probe", "echo", {"value": 1})

        assert another._channel is channel


def test_stock_proxies_inside_services_can_call_our_services(client):
    assert client.call("probe", "echo_by_stock_proxy", {"value": "x"}) == "x"


def test_stock_proxies_and_shells_can_call_our_services(client, broker_url):
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STOCK_CALLS % broker_url], capture_output=True, text=True, timeout=20
    )

    assert shown.stdout.split() == ["x", "y", "Taken"], shown.stderr


def test_our_client_can_call_services_of_stock_nameko(client):
    assert client.call("stock", "echo", {"value": "x"}) == "x"
    with pytest.raises(RemoteError) as error:
        client.call("stock", "fail")
    assert (error.value.name, error.value.message) == ("KeyError", "inside")


def test_the_client_recovers_after_its_sending_connection_was_closed(client):
    client.call("probe", "echo", {"value": 1})
    client._sender.collect()
    client._channel.connection = None

    assert client.call("probe", "echo", {"value": 2}) == 2


def test_an_answer_that_is_no_json_fails_its_call_and_no_other(client, broker_url):
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.call, "probe", "sleep", {"seconds": 0.5})
        (ident,) = wait_for(lambda: list(client._waiting))
        with Connection(broker_url) as connection:
            producer = connection.Producer()
            producer.publish(b"{", exchange="nameko-rpc", routing_key=client._reply_to, correlation_id=ident)

        assert isinstance(call.exception(5), ServiceUnavailable)
    assert client.call("probe", "echo", {"value": 2}) == 2


@pytest.mark.lengthy
def test_an_unreachable_broker_is_reported_in_time():
    unreachable = Client("amqp://guest:guest@127.0.0.1:1/", "gateway", timeout=1)
    started = time.monotonic()

    with pytest.raises(ServiceUnavailable, match="Connection refused"):
        unreachable.call("probe", "echo", {"value": 1})

    assert time.monotonic() - started < 3
    unreachable.close()


def test_who_has_the_wrong_password_reads_that_it_was_refused_and_no_traceback(amqp_url, caplog):
    url = urlsplit(amqp_url)
    stranger = Client(url._replace(netloc=url.netloc.replace(f":{url.password}@", ":wrong@")).geturl(), "gateway")

    with pytest.raises(ServiceUnavailable, match="ACCESS_REFUSED"):
        stranger.call("probe", "echo", timeout=2)

    stranger.close()
    assert caplog.records and not any(each.exc_info for each in caplog.records)


def test_no_reply_queue_outlives_its_client(servers, amqp_url):
    client = Client(amqp_url, "gateway")
    with pytest.raises(ServiceUnavailable):
        client.call("nobody", "echo")
    assert queues(servers, amqp_url) == [client._reply_to]
    client.close()

    wait_for(lambda: queues(servers, amqp_url) == [])


def test_a_call_of_a_client_that_was_closed_opens_no_connection(amqp_url):
    with closing(Client(amqp_url, "gateway")) as client, pytest.raises(ServiceUnavailable):
        client.call("nobody", "echo")

    with pytest.raises(ServiceUnavailable, match="the client was closed"):
        client.call("nobody", "echo")

    assert client._sender is None


def channels(client):
    """The numbers of the channels that are open on the connection by which a client sends."""
    return sorted(client._sender.connection.channels)


def queues(servers, amqp_url):
    return [queue["name"] for queue in servers.management("GET", f"/api/queues/{vhost_of(amqp_url)}").json()]


def vhost_of(amqp_url):
    return amqp_url.rpartition("/")[2]
