"""Asking payments about orders that await payment: its answer is followed, and after a day orders gives up."""

from datetime import timedelta

import pytest

from libs.clock import utc_now
from libs.events import VersionConflict
from libs.rpc import RemoteError, ServiceUnavailable
from orders.domain import Order
from orders.service import ASK_PAYMENTS_SECONDS, OrdersService
from orders.store import new_id

BROKEN, UNREACHABLE = RemoteError("VersionConflict", "it keeps changing"), ServiceUnavailable("payments")


class FakePayments:
    """Replies to `settle` with what a test has put into `answers`, and keeps the calls in `asked`."""

    def __init__(self):
        self.answers, self.asked = {}, []

    def call(self, service, method, arguments, timeout):
        order_id = arguments["order_id"]
        self.asked.append((service, method, order_id))
        answer = self.answers.get(order_id, "open")
        if isinstance(answer, Exception):
            raise answer
        now = utc_now().isoformat()
        about = {"id": order_id, "order_id": order_id, "version": 5, "status": answer, "final": answer == "cancelled"}
        return {**about, "amount_cents": 1999, "currency": "usd", "created_at": now, "updated_at": now}


@pytest.fixture
def payments():
    return FakePayments()


@pytest.fixture
def waiting(service, payments):
    """Make an order that has waited for its money for so long, about which payments answers this."""

    def make(answer="open", **ago):
        then = utc_now() - timedelta(**ago)
        ticket = {
            "id": new_id(), "title": "Hamlet, row 3", "price_cents": 1999, "currency": "usd", "category": "stage",
            "venue": None, "starts_at": None, "seller_id": "ana",
        }  # fmt: skip
        order = Order.place(new_id(), ticket, "bo", 1, then + timedelta(minutes=15), then)
        order.status = "awaiting_payment"
        service.store.add(order)
        payments.answers[order.id] = answer
        return order.id

    return make


def ended(service, order_id):
    order = service.store.get(order_id)
    return order.status, order.cancel_reason


def outbox(service, order_id):
    return [event["name"] for event in service.store.orders.collection.find_one({"_id": order_id})["outbox"]]


def test_an_order_that_has_waited_for_a_minute_is_asked_about_and_updated_from_its_payment(service, payments, waiting):
    paid, failed = waiting("captured", seconds=62), waiting("cancelled", seconds=61)

    service.ask_payments()

    assert payments.asked == [("payments", "settle", paid), ("payments", "settle", failed)]
    assert ended(service, paid) == ("complete", None)
    assert ended(service, failed) == ("cancelled", "payment_failed")
    assert outbox(service, paid)[-1] == "OrderCompleted"


def test_an_order_that_has_just_begun_to_wait_is_not_asked_about(service, payments, waiting):
    waiting("captured", seconds=50)

    service.ask_payments()

    assert payments.asked == []


def test_an_order_whose_payment_has_not_changed_stays_as_it_is(service, waiting):
    order_id = waiting("authorized", hours=25)

    service.ask_payments()

    assert ended(service, order_id) == ("awaiting_payment", None)
    assert service.store.get(order_id).version == 1


@pytest.mark.parametrize("error", [BROKEN, VersionConflict("somebody was quicker")])
def test_an_order_that_cannot_be_settled_keeps_no_other_from_being_asked_about(service, waiting, error):
    broken, paid = waiting(error, minutes=3), waiting("captured", minutes=2)

    service.ask_payments()

    assert ended(service, broken) == ("awaiting_payment", None)
    assert ended(service, paid) == ("complete", None)


def test_while_payments_is_unreachable_only_one_order_is_asked_about(service, payments, waiting):
    first, second = waiting(UNREACHABLE, minutes=3), waiting("captured", minutes=2)

    service.ask_payments()
    asked = [order_id for _, _, order_id in payments.asked]
    payments.answers[first] = "captured"
    service.ask_payments()

    assert asked == [first]
    assert [ended(service, order_id)[0] for order_id in (first, second)] == ["complete", "complete"]


@pytest.mark.parametrize("error", [BROKEN, UNREACHABLE])
def test_an_order_that_cannot_be_settled_for_a_day_is_given_up_and_its_ticket_free(service, waiting, error):
    order_id, not_asked, younger = (
        waiting(error, hours=25),
        waiting(error, hours=24, minutes=1),
        waiting(error, hours=23),
    )

    service.ask_payments()

    assert [ended(service, one) for one in (order_id, not_asked)] == [("cancelled", "payment_failed")] * 2
    assert ended(service, younger) == ("awaiting_payment", None)
    assert outbox(service, order_id)[-1] == "OrderCancelled"
    assert "active" not in service.store.orders.collection.find_one({"_id": order_id})


def test_an_order_that_is_paid_meanwhile_is_not_given_up(service, payments, waiting, monkeypatch):
    order_id = waiting(hours=25)

    def unreachable_though_paid(*args, **kwargs):
        order = service.store.get(order_id)
        order.status, order.version = "complete", 2
        service.store.save(order, "OrderCompleted")
        raise UNREACHABLE

    monkeypatch.setattr(payments, "call", unreachable_though_paid)
    service.ask_payments()

    assert ended(service, order_id) == ("complete", None)


def test_a_timer_asks_payments_about_orders_that_wait():
    [timer] = OrdersService.ask_payments.nameko_entrypoints

    assert timer.interval == ASK_PAYMENTS_SECONDS
