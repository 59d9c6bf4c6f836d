"""A whole application of its own on the library: its services run as processes, and one shows in docs/events.md."""

import json
from contextlib import ExitStack, closing

import pymongo
import pytest

from dev.testing import ROOT, nameko_service, wait_for
from libs.amqp import Outgoing, Publisher
from libs.events.parking import Parking, Selection
from libs.events.tests.bakery.catalogue import CATALOGUE, FlourDelivered

ALL_QUEUES = CATALOGUE.queue_names()
BAKERY = ROOT / "libs" / "events" / "tests" / "bakery"
QUEUE = "labels.LoafBaked"


def test_the_service_in_ten_lines_is_the_one_of_the_bakery():
    page = (ROOT / "docs" / "events.md").read_text()
    shown = page.partition("## A service in ten lines")[2].partition("```python\n")[2].partition("```")[0]

    imports, _, rest = (BAKERY / "labels.py").read_text().partition("\n\n\n")

    assert shown == rest
    assert all(line.startswith(('"""', "from libs.events")) for line in imports.splitlines() if line)


@pytest.fixture
def bakery(amqp_url, mongo_url):
    """The two services at work."""
    with ExitStack() as stack:
        for module, queue in (("oven:OvenService", "oven.FlourDelivered"), ("labels:LabelsService", QUEUE)):
            service = f"libs.events.tests.bakery.{module}"
            stack.enter_context(nameko_service(service, queue, AMQP_URI=amqp_url, MONGO_URL=mongo_url))
        yield Parking(amqp_url, ALL_QUEUES)


def deliver(amqp_url, ident, grain):
    flour = Outgoing(
        FlourDelivered.exchange,
        FlourDelivered.name,
        json.dumps({"id": ident, "version": 1, "grain": grain}).encode(),
        message_id=f"FlourDelivered:{ident}:1",
    )
    with closing(Publisher(amqp_url, CATALOGUE.declare)) as publisher:
        assert publisher.publish([flour]) == {}


def test_each_loaf_has_its_label_and_one_that_cannot_have_it_yet_is_parked_until_replayed(bakery, amqp_url, mongo_url):
    with pymongo.MongoClient(mongo_url) as client:
        db = client.get_default_database()
        db.prices.insert_one({"_id": "rye", "cents": 350})

        deliver(amqp_url, "b1", "rye")
        deliver(amqp_url, "b2", "spelt")  # which has no price yet

        wait_for(lambda: db.labels.find_one({"_id": "b1", "text": "rye, 350 cents", "outbox": []}))
        wait_for(lambda: bakery.count() == {QUEUE: 1})
        (parked,) = bakery.show(Selection(QUEUE))
        assert (parked.event_id, parked.attempts, json.loads(parked.body)["grain"]) == ("LoafBaked:b2:1", 3, "spelt")
        assert db.labels.count_documents({}) == 1

        db.prices.insert_one({"_id": "spelt", "cents": 420})
        assert bakery.replay(Selection(QUEUE, ["LoafBaked:b2:1"])) == (1, 0)

        wait_for(lambda: db.labels.find_one({"_id": "b2", "text": "spelt, 420 cents"}))
        assert bakery.count() == {}
