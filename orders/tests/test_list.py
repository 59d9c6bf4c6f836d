"""A buyer's list of orders."""

from orders.tests.test_sweep import an_order


def test_cancelled_orders_are_listed_apart(service):
    orders = [an_order(service, number) for number in range(4)]
    for order in orders[::2]:
        order.cancel("bo", order.created_at)
        service.store.save(order, "OrderCancelled")

    def listed(cancelled):
        return [order.id for order in service.store.list_by_buyer("bo", 10, None, cancelled)]

    ids = [order.id for order in reversed(orders)]
    assert (listed(None), listed(False), listed(True)) == (ids, ids[::2], ids[1::2])
