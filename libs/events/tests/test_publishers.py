import pytest

from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE
from libs.events.testing import PublisherInMemory


@pytest.fixture(params=["double", pytest.param("real", marks=pytest.mark.integration)])
def publisher(request):
    if request.param == "double":
        publisher = PublisherInMemory()
        publisher.refuse = {"m2": "unroutable: expiration.events NobodyListens"}
    else:
        publisher = Publisher(request.getfixturevalue("amqp_url"), declare=CATALOGUE.declare)
    yield publisher
    publisher.close()


def a_message(ident, name="ExpirationComplete"):
    return Outgoing("expiration.events", name, b"{}", message_id=ident)


def test_what_does_not_arrive_is_named_and_the_rest_arrives(publisher):
    batch = [a_message("m1"), a_message("m2", "NobodyListens"), a_message("m3")]

    assert publisher.publish(batch) == {"m2": "unroutable: expiration.events NobodyListens"}


def test_an_empty_batch_is_no_trouble(publisher):
    assert publisher.publish([]) == {}


def test_a_closed_publisher_opens_again(publisher):
    publisher.close()

    assert publisher.publish([a_message("m1")]) == {}
