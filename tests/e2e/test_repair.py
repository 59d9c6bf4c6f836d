"""What no event brings, because a queue was purged or a copy deleted, is fetched from its source."""

import pymongo
import pytest

pytestmark = pytest.mark.usefixtures("at_rest")


@pytest.fixture
def mongo(system):
    with pymongo.MongoClient(system.mongo_url("admin")) as client:
        yield client


@pytest.mark.parametrize("part", ["orders", "tickets", "payments"])
def test_lost_and_old_copies_are_repaired_by_one_call(mongo, operator, ana, bo, part):
    sold, listed = ana.list_ticket(), ana.list_ticket()
    order_id = bo.reserve(sold)
    bo.sees_ticket(sold, "reserved")
    damage = {
        "orders": lambda: mongo.orders.tickets.delete_one({"_id": listed}),
        "tickets": lambda: mongo.tickets.tickets.update_one({"_id": sold}, {"$set": {"reservation": None}}),
        "payments": lambda: mongo.payments.payments.delete_one({"_id": order_id}),
    }
    damage[part]()

    assert operator.call(part, "repair") >= 1

    assert operator.call(part, "repair") == 0


def test_a_lost_deadline_is_repaired_in_time(mongo, ana, bo):
    order_id = bo.reserve(ana.list_ticket())

    mongo.expiration.deadlines.delete_one({"_id": order_id})

    # `at_rest` waits until expiration knows it again
