"""The sweep: what is overdue is released without anybody's hint, however much it is."""

from datetime import timedelta

import pytest

from libs.clock import utc_now
from orders.domain import Order
from orders.service import SWEEP_BATCH, OrdersService
from orders.store import OrderStore, new_id


@pytest.fixture
def service(mongo):
    """The service, with its real database, called as its timer is."""
    service = OrdersService()
    service.store = OrderStore(mongo)
    service.store.create_indexes()
    return service


def an_order(service, number=1, expires_in=timedelta(seconds=-1)):
    ticket = {
        "id": f"t{number}", "title": "Hamlet, row 3", "price_cents": 1999, "currency": "usd", "category": "stage",
        "venue": None, "starts_at": None, "seller_id": "ana",
    }  # fmt: skip
    order = Order.place(new_id(), ticket, "bo", 1, utc_now() + expires_in, utc_now())
    service.store.add(order)
    return order


def test_one_sweep_releases_all_that_is_overdue_and_nothing_else(service):
    overdue = [an_order(service, number) for number in range(2 * SWEEP_BATCH + 1)]
    in_time = an_order(service, len(overdue), expires_in=timedelta(minutes=5))

    service.sweep_overdue()

    found = [service.store.get(order.id) for order in overdue]
    assert {(order.status, order.cancel_reason, order.version) for order in found} == {("cancelled", "expired", 2)}
    assert service.store.get(in_time.id).status == "created"


def test_an_order_that_is_changed_during_the_sweep_is_left_as_it_is(service):
    paid, unpaid = an_order(service, 1), an_order(service, 2)
    listed = service.store.list_overdue(utc_now(), 10)
    paid.status, paid.version = "awaiting_payment", 2
    service.store.save(paid, "OrderAwaitingPayment")

    saved = service.store.save_cancelled([order for order in listed if order.expire(utc_now())])

    assert saved == 1
    assert service.store.get(paid.id).status == "awaiting_payment"
    assert service.store.get(unpaid.id).status == "cancelled"
