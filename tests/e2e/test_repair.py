"""Anti-entropy: what was lost with a purged queue or a deleted copy is fetched from its source."""

import pymongo
import pytest
from kombu import Connection

from dev.testing import wait_for, waiting
from libs.contracts.events import CATALOGUE, OrderCreated
from libs.events import topology

pytestmark = pytest.mark.usefixtures("at_rest")


@pytest.fixture
def mongo(system):
    with pymongo.MongoClient(system.mongo_url("admin")) as client:
        yield client


@pytest.mark.parametrize("part", CATALOGUE.listeners())
def test_lost_and_old_copies_are_repaired_by_one_call(mongo, operator, ana, bo, part):
    sold, listed = ana.list_ticket(), ana.list_ticket()
    order_id = bo.reserve(sold)
    is_repaired = {
        "orders": lambda: mongo.orders.tickets.find_one({"_id": listed}),
        "tickets": lambda: mongo.tickets.tickets.find_one({"_id": sold, "reservation.order_id": order_id}),
        "payments": lambda: mongo.payments.payments.find_one({"_id": order_id}),
        "expiration": lambda: mongo.expiration.deadlines.find_one({"_id": order_id}),
    }
    damage = {
        "orders": lambda: mongo.orders.tickets.delete_one({"_id": listed}),
        "tickets": lambda: mongo.tickets.tickets.update_one({"_id": sold}, {"$set": {"reservation": None}}),
        "payments": lambda: mongo.payments.payments.delete_one({"_id": order_id}),
        "expiration": lambda: mongo.expiration.deadlines.delete_one({"_id": order_id}),
    }
    wait_for(is_repaired[part])
    wait_for(lambda: mongo.orders.tickets.find_one({"_id": sold, "status": "reserved"}))  # no event is under way now
    damage[part]()

    operator.call(part, "repair")

    assert is_repaired[part]()
    assert operator.call(part, "repair")["repaired"] == 0


def test_events_of_a_purged_queue_are_made_up_for_in_time(system, ana, bo):
    listeners = OrderCreated.listeners
    ticket_id = ana.list_ticket()
    for listener in listeners:
        system.stop_program(listener)
    bo.reserve(ticket_id)

    purged = {listener: purge(system, topology.queue_name(listener, OrderCreated)) for listener in listeners}
    for listener in listeners:
        system.start_program(listener)
        system.wait_ready(listener)

    assert purged == dict.fromkeys(listeners, 1)
    bo.sees_ticket(ticket_id, "reserved", 60)
    # and `at_rest` waits until payments and expiration have their copies too


def purge(system, queue):
    """Throw away what waits in a queue; return how many messages that were."""
    wait_for(lambda: waiting(system.amqp_url, queue), what=f"something in {queue}")
    with Connection(system.amqp_url) as connection:
        return connection.channel().queue_purge(queue)
