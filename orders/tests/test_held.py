"""Whether a buyer holds a ticket is read from an index, whatever the number of their orders."""

from orders.store import OrderStore
from orders.tests.test_sweep import an_order


def test_held_order_is_found_among_many_by_one_key(service, mongo):
    orders = [an_order(service, number) for number in range(120)]

    mongo.command("profile", 2)
    held = OrderStore(mongo).find_held("t0", "bo")
    mongo.command("profile", 0)

    (read,) = mongo["system.profile"].find({"ns": mongo.orders.full_name})
    assert held == orders[0] and (read["keysExamined"], read["docsExamined"]) == (1, 1)
    assert service.store.find_held("t0", "cy") is None
