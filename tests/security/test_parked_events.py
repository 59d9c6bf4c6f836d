"""Operators' actions on parked events are carried out by the owning service, and recorded before and after."""

from contextlib import closing

import pytest
from kombu import Connection

from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE
from libs.events.parking import Parking
from libs.rpc import RemoteError
from tests.in_process import services_in_process

QUEUE = "orders.PaymentCreated"


class Site:
    """The services, one of which has parked events at a real broker."""

    def __init__(self, client, signer, amqp_url):
        self.client, self.signer = client, signer
        client.services["orders"].parking = Parking(amqp_url, [QUEUE])

    def operate(self, method, **arguments):
        service, _, name = method.partition(".")
        return self.client.call(service, name, arguments, token=self.signer.mint_call(method))


@pytest.fixture(scope="module")
def services(servers):
    with services_in_process(servers) as (client, signers):
        yield client, signers["operator"]


@pytest.fixture
def site(services, amqp_url):
    with Connection(amqp_url) as connection:
        CATALOGUE.declare(connection.channel())
    with closing(Publisher(amqp_url)) as publisher:
        for ident, reason in (("a", "KeyError: 'x'"), ("b", "TypeError: y"), ("c", "KeyError: 'z'")):
            publisher.publish([Outgoing("", f"{QUEUE}.parked", b'{"id": "o1"}', {"x-reason": reason}, ident)])
    client, signer = services
    return Site(client, signer, amqp_url)


def refusal(call, *arguments, **named):
    with pytest.raises(RemoteError) as refused:
        call(*arguments, **named)
    return refused.value.name, refused.value.message


def counts(site):
    return {group["exception"]: group["count"] for group in site.operate("orders.parked_events")}


def test_an_operator_lists_shows_replays_and_discards_parked_events_by_the_service_that_has_them(site):
    assert counts(site) == {"KeyError": 2, "TypeError": 1}
    (shown,) = site.operate("orders.show_parked", queue=QUEUE, ids=["a"])
    assert (shown["event_id"], shown["reason"], shown["body"]) == ("a", "KeyError: 'x'", '{"id": "o1"}')

    assert site.operate("orders.replay_parked", queue=QUEUE, exception="KeyError", ids=["a", "b"]) == {
        "replayed": 1,
        "left": 0,
    }
    assert site.operate("orders.discard_parked", queue=QUEUE, exception="TypeError", reason="a test") == {
        "discarded": 1,
        "left": 0,
    }
    assert counts(site) == {"KeyError": 1}
    assert site.operate("orders.stuck_events") == []


def test_what_is_done_about_parked_events_is_recorded_before_it_is_done_and_with_its_outcome(site):
    recorded = []
    parking = site.client.services["orders"].parking
    replay, parking.replay = (
        parking.replay,
        lambda selection: recorded.extend(site.operate("auth.actions", limit=2)) or replay(selection),
    )

    site.operate("orders.replay_parked", queue=QUEUE, ids=["a"])
    site.operate("orders.discard_parked", queue=QUEUE, ids=["b"], reason="no loaf of ours")

    began = recorded[1]
    assert (began["method"], began["outcome"]) == ("orders.replay_parked", "unknown")
    discarded, replayed = [each for each in site.operate("auth.actions") if each["method"].endswith("_parked")][:2]
    assert (replayed["id"], replayed["outcome"]) == (began["id"], "success")
    assert (discarded["method"], discarded["outcome"]) == ("orders.discard_parked", "success")
    assert discarded["reason"] == "no loaf of ours" and discarded["arguments"]["ids"] == ["b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": ["a"]}, "incorrect"),
        ({"ids": ["a"], "reason": " "}, "reason must say why."),
        ({"reason": "a test"}, "ids or exception must say which events."),
        ({"reason": "a test", "ids": "a"}, "ids must be a list of at most 1000 texts."),
        ({"reason": "a test", "ids": ["a"], "queue": "tickets.OrderCreated"}, f"queue must be one of {QUEUE}."),
        ({"reason": "a test", "ids": ["a"], "queue": ["x"]}, f"queue must be one of {QUEUE}."),
    ],
)
def test_nothing_is_discarded_unless_it_is_said_which_of_our_events_and_why(site, arguments, message):
    name, said = refusal(site.operate, "orders.discard_parked", **{"queue": QUEUE, **arguments})

    assert (name, said) == ("InvalidArguments", message) or name == "IncorrectSignature"
    assert counts(site) == {"KeyError": 2, "TypeError": 1}
