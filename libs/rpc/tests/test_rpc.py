import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from kombu import Connection

from libs import context
from libs.rpc import Client, RemoteError, ServiceUnavailable
from libs.testing import nameko_service, wait_for, waiting
from libs.tokens import Signer, new_key

PROBE = "libs.rpc.tests.probe:Probe"
PRIVATE, PUBLIC = new_key("auth:1")
SERVICE_PRIVATE, SERVICE_PUBLIC = new_key("orders:1")


@pytest.fixture
def client(amqp_url):
    client = Client(amqp_url, timeout=5)
    yield client
    client.close()


@pytest.fixture
def probe(amqp_url):
    def start(**config):
        return nameko_service(
            PROBE, "rpc-probe", AMQP_URI=amqp_url, TOKEN_PUBLIC_KEYS=f"{PUBLIC},{SERVICE_PUBLIC}", **config
        )

    return start


def test_a_call_returns_what_the_method_returns(client, probe):
    with probe():
        assert client.call("probe", "echo", {"value": {"título": [1, None, "x"]}}) == {"título": [1, None, "x"]}


def test_many_calls_at_once_each_get_their_own_answer(client, probe):
    with probe(), ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: client.call("probe", "echo", {"value": number}), range(300)))

    assert answers == list(range(300))


def test_a_refusal_brings_its_name_sentence_and_details(client, probe):
    with probe(), pytest.raises(RemoteError) as refusal:
        client.call("probe", "refuse")

    assert (refusal.value.name, refusal.value.message) == ("Taken", "somebody was quicker")
    assert refusal.value.details == {"price_cents": 1999}


@pytest.mark.parametrize(
    ("method", "arguments", "name"),
    [
        ("fail", {}, "KeyError"),
        ("missing", {}, "MethodNotFound"),
        ("echo", {"colour": "red"}, "IncorrectSignature"),
        ("unspeakable", {}, "UnserializableValueError"),
    ],
)
def test_what_goes_wrong_there_is_told_here_and_the_service_goes_on(client, probe, method, arguments, name):
    with probe():
        with pytest.raises(RemoteError) as error:
            client.call("probe", method, arguments)

        assert error.value.name == name
        assert client.call("probe", "echo", {"value": 1}) == 1


def test_an_unknown_service_is_told_at_once(client):
    started = time.monotonic()

    with pytest.raises(ServiceUnavailable, match="no such service"):
        client.call("nobody", "echo", {"value": 1})

    assert time.monotonic() - started < 2


def test_a_call_nobody_waits_for_any_more_is_not_executed(client, probe, amqp_url):
    with probe():
        client.call("probe", "echo", {"value": 1})
    with pytest.raises(ServiceUnavailable):
        client.call("probe", "sleep", {"seconds": 0.001}, timeout=0.2)

    with probe():
        wait_for(lambda: waiting(amqp_url, "rpc-probe") == 0)
        assert client.call("probe", "done") == []


def test_a_call_that_waited_too_long_for_a_worker_is_not_begun(client, probe):
    with probe(max_workers=1):
        slow = threading.Thread(target=lambda: client.call("probe", "sleep", {"seconds": 1}))
        slow.start()
        time.sleep(0.2)  # the slow call has to be under way before the next is made

        with pytest.raises(ServiceUnavailable):
            client.call("probe", "sleep", {"seconds": 0.01}, timeout=0.3)

        slow.join()
        assert client.call("probe", "done") == [1]


def test_the_rest_of_the_time_travels_with_the_work(client, probe):
    with (
        probe(),
        context.work(deadline=time.monotonic() - 1),
        pytest.raises(ServiceUnavailable, match="no time is left"),
    ):
        client.call("probe", "echo", {"value": 1})


def test_time_outs_leave_nothing_behind(client, probe, servers, amqp_url):
    with probe():
        for _ in range(5):
            with pytest.raises(ServiceUnavailable):
                client.call("probe", "sleep", {"seconds": 0.3}, timeout=0.05)
        client.call("probe", "echo", {"value": 1})

        assert client._waiting == {}


def test_the_correlation_id_travels(client, probe):
    with probe():
        assert client.call("probe", "correlation", correlation_id="request-7") == "request-7"
        with context.work("request-8"):
            assert client.call("probe", "correlation") == "request-8"


def test_a_users_token_is_verified_by_the_service(client, probe):
    token = Signer(PRIVATE).mint("bo", 60)
    with probe():
        assert client.call("probe", "whoami", token=token) == "bo"


@pytest.mark.parametrize(
    ("token", "name"),
    [(None, "Unauthenticated"), ("rubbish", "Unauthenticated"), (Signer(SERVICE_PRIVATE).mint_service(), "Forbidden")],
)
def test_no_token_a_false_one_or_a_services_is_refused_where_a_user_is_needed(client, probe, token, name):
    with probe(), pytest.raises(RemoteError) as error:
        client.call("probe", "whoami", token=token)

    assert error.value.name == name


def test_stock_proxies_can_call_our_services(probe, client):
    with probe():
        assert client.call("probe", "echo_by_stock_proxy", {"value": "x"}) == "x"


def test_the_client_comes_back_after_its_connections_were_closed(client, probe, servers, amqp_url):
    with probe():
        client.call("probe", "echo", {"value": 1})
        client._sender.collect()
        client._channel.connection = None

        assert client.call("probe", "echo", {"value": 2}) == 2


def test_a_broker_that_is_away_is_told_in_time():
    away = Client("amqp://guest:guest@127.0.0.1:1/", timeout=1)
    started = time.monotonic()

    with pytest.raises(ServiceUnavailable):
        away.call("probe", "echo", {"value": 1})

    assert time.monotonic() - started < 3
    away.close()


def test_no_reply_queue_outlives_its_client(amqp_url, probe):
    with probe():
        client = Client(amqp_url)
        client.call("probe", "echo", {"value": 1})
        queue = f"rpc.reply-{client._reply_to}"
        client.close()

        with Connection(amqp_url) as connection:
            wait_for(lambda: waiting_is_gone(connection, queue))


def waiting_is_gone(connection, queue):
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except connection.channel_errors:
        return True
    channel.close()
    return False
