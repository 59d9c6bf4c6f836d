"""What every client promises: the real one, with a service behind a broker, and its double in memory."""

import math
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime

import pytest

from dev.testing import nameko_service, new_vhost
from libs import context
from libs.metrics import rpc_call_seconds
from libs.rpc import Client, RemoteError, ServiceUnavailable
from libs.rpc.caller import Caller, OwnClient
from libs.rpc.testing import ClientInMemory
from libs.rpc.tests.probe import Probe
from libs.tokens import Signer, Verifier, new_key

PRIVATE, PUBLIC = new_key("auth:1")
SERVICE_PRIVATE, SERVICE_PUBLIC = new_key("orders:1")
PUBLIC_KEYS = f"{PUBLIC},{SERVICE_PUBLIC}"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def real(servers):
    with (
        new_vhost(servers) as url,
        nameko_service("libs.rpc.tests.probe:Probe", "rpc-probe", AMQP_URI=url, TOKEN_PUBLIC_KEYS=PUBLIC_KEYS),
        closing(Client(url, "gateway", timeout=10)) as client,
    ):
        yield client


@pytest.fixture(params=["double", pytest.param("real", marks=pytest.mark.integration)])
def client(request):
    if request.param == "real":
        return request.getfixturevalue("real")
    probe = Probe()
    probe.caller = Caller(Verifier(PUBLIC_KEYS), lambda session: False)
    return ClientInMemory({"probe": probe}, timeout=10)


def test_a_call_returns_what_the_method_returns(client):
    assert client.call("probe", "echo", {"value": {"título": [1, None, "x"]}}) == {"título": [1, None, "x"]}


@pytest.mark.parametrize("value", ["half: \ud83c", {"a": [0.1, 1e22]}, 2**63, -(2**63), "\u2028 🎭"], ids=ascii)
def test_an_unusual_value_comes_and_goes_unchanged(client, value):
    assert client.call("probe", "echo", {"value": value}) == value


@pytest.mark.parametrize(("value", "error"), [({1, 2}, TypeError), (NOON, TypeError), (math.nan, ValueError)], ids=str)
def test_an_argument_that_is_no_json_is_refused_before_the_call(client, value, error):
    with pytest.raises(error):
        client.call("probe", "echo", {"value": value})


def test_a_time_is_returned_in_iso_8601(client):
    assert client.call("probe", "noon") == {"at": "2026-11-22T12:00:00.000Z"}


def test_an_error_has_its_name_message_and_details(client):
    with pytest.raises(RemoteError) as refusal:
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
def test_an_error_in_the_service_reaches_the_caller_and_the_service_goes_on(client, method, arguments, name):
    with pytest.raises(RemoteError) as error:
        client.call("probe", method, arguments)

    assert error.value.name == name
    assert client.call("probe", "echo", {"value": 1}) == 1


def test_an_unknown_service_is_reported_at_once(client):
    started = time.monotonic()

    with pytest.raises(ServiceUnavailable, match="no such service"):
        client.call("nobody", "echo", {"value": 1})

    assert time.monotonic() - started < 2


def test_the_method_has_what_is_left_until_the_callers_deadline(client):
    assert 0 < client.call("probe", "left", timeout=3) <= 3


def test_no_call_is_made_once_the_deadline_of_its_work_has_passed(client):
    with context.work(deadline=time.monotonic() - 1), pytest.raises(ServiceUnavailable, match="no time is left"):
        client.call("probe", "echo", {"value": 1})


def test_the_correlation_id_travels(client):
    with context.work("request-8"):
        assert client.call("probe", "correlation") == "request-8"


def test_a_users_token_is_verified_by_the_service(client):
    assert client.call("probe", "whoami", token=Signer(PRIVATE).mint("bo", 60)) == "bo"


@pytest.mark.parametrize(
    ("token", "name"),
    [
        (None, "Unauthenticated"),
        ("rubbish", "Unauthenticated"),
        (Signer(SERVICE_PRIVATE).mint("orders", 3600), "Forbidden"),
    ],
    ids=["missing", "forged", "a service's"],
)
def test_a_missing_forged_or_services_token_is_refused_where_a_user_is_needed(client, token, name):
    with pytest.raises(RemoteError) as error:
        client.call("probe", "whoami", token=token)

    assert error.value.name == name


def test_a_refused_token_of_a_services_own_is_not_its_callers_fault(client):
    own = OwnClient()
    own.client, own.signer = client, Signer(new_key("orders:2")[0])

    with pytest.raises(ServiceUnavailable, match="the token of orders is refused: do keys and clocks agree"):
        own.call("probe", "whoami", {}, timeout=5)


def measured():
    """Return how many calls were measured so far, by method and outcome."""
    samples = [sample for metric in rpc_call_seconds.collect() for sample in metric.samples]
    counts = [sample for sample in samples if sample.name == "rpc_call_seconds_count"]
    return Counter({(each.labels["method"], each.labels["outcome"]): each.value for each in counts})


def test_every_call_is_observed_with_its_outcome(client):
    expected = [("probe.echo", "ok"), ("probe.refuse", "error"), ("probe.sleep", "unavailable")]
    before = measured()

    client.call("probe", "echo", {"value": 1})
    with pytest.raises(RemoteError):
        client.call("probe", "refuse")
    with pytest.raises(ServiceUnavailable):
        client.call("probe", "sleep", {"seconds": 0.2}, timeout=0.01)

    assert measured() - before == Counter(expected)
