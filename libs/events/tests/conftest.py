import pytest
from kombu import Connection

from dev.testing import new_vhost
from libs.events import Aggregates, topology
from libs.events.aggregates import OUTBOX_INDEX
from libs.events.tests.bakery.catalogue import CATALOGUE


@pytest.fixture(scope="module")
def broker_url(servers):
    """The address of a vhost that a module's tests share, with everything declared."""
    with new_vhost(servers) as url:
        yield url


@pytest.fixture
def amqp_url(broker_url):
    """The module's vhost, with all of the catalogue's queues declared and empty."""
    with Connection(broker_url) as connection:
        channel = connection.channel()
        CATALOGUE.declare(channel)
        for queue in CATALOGUE.queue_names():
            channel.queue_purge(queue)
            channel.queue_purge(topology.parked_name(queue))
    return broker_url


@pytest.fixture
def loaves(mongo):
    """Aggregates without any documents, with the index that the relay needs."""
    aggregates = Aggregates(mongo.loaves)
    aggregates.collection.create_indexes([OUTBOX_INDEX])
    return aggregates
