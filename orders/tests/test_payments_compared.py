"""Anti-entropy against payments: whatever event of a payment is lost, its order learns of it all the same."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from libs.clock import iso, utc_now
from libs.events import VersionConflict
from libs.events.anti_entropy import AntiEntropy
from orders.domain import Order
from orders.store import new_id


class FakePayments:
    """Has one payment of each order, with the version of its newest event."""

    def __init__(self):
        self.payments, self.published = {}, {}

    def has(self, order_id, version, status, published=None):
        about = {"id": order_id, "order_id": order_id, "version": version, "status": status}
        now = iso(utc_now())
        about |= {"final": status == "cancelled", "amount_cents": 1999, "currency": "usd"}
        self.payments[order_id] = {**about, "created_at": now, "updated_at": now}
        self.published[order_id] = version if published is None else published

    def call(self, service, method, arguments):
        assert service == "payments"
        if method == "changes":  # what changed so recently is compared later
            return {"page": [], "next": [1, 0], "is_last": True}
        if method == "versions":
            ids = sorted(ident for ident in self.payments if ident > (arguments["after"] or ""))
            return [[ident, self.published[ident]] for ident in ids]
        return [self.payments[ident] for ident in arguments["ids"]]


@pytest.fixture
def payments():
    return FakePayments()


@pytest.fixture
def compare(service, mongo, monkeypatch):
    """Compare as the timer does, while no event is under way; return how many were out of date."""
    monkeypatch.setattr("libs.events.anti_entropy.IN_FLIGHT_SECONDS", 0)

    def compare():
        mongo.comparisons.update_many({}, {"$unset": {"due_at": 1}})
        return AntiEntropy("orders.payments").run(service._payments())

    return compare


@pytest.fixture
def an_order(service):
    def make(status="created"):
        ticket = {
            "id": new_id(), "title": "Hamlet, row 3", "price_cents": 1999, "currency": "usd", "category": "stage",
            "venue": None, "starts_at": None, "seller_id": "ana",
        }  # fmt: skip
        order = Order.place(new_id(), ticket, "bo", 1, utc_now() + timedelta(minutes=15), utc_now())
        order.status = status
        service.store.add(order)
        return order.id

    return make


@pytest.mark.parametrize(
    ("before", "payment", "after"),
    [
        ("created", "authorized", "awaiting_payment"),
        ("awaiting_payment", "captured", "complete"),
        ("created", "cancelled", "cancelled"),
    ],
)
def test_an_order_follows_its_payment_though_the_event_was_lost(
    service, payments, compare, an_order, before, payment, after
):
    order_id = an_order(before)
    payments.has(order_id, 7, payment)

    assert compare() == 1

    assert service.store.get(order_id).status == after
    assert compare() == 0


def test_a_refund_is_recorded_though_the_event_was_lost(service, payments, compare, an_order):
    order_id = an_order("complete")
    payments.has(order_id, 9, "refunded")

    compare()

    assert service.store.get(order_id).refunded_at is not None
    assert compare() == 0


def test_an_old_refund_is_not_stored_after_the_news_that_it_came_back(service, payments, an_order):
    order_id = an_order("complete")
    payments.has(order_id, 5, "captured")
    late, refunded = service.store.get(order_id), payments.payments[order_id] | {"version": 4, "refunded_cents": 500}
    service.on_payment(payments.payments[order_id])  # changes nothing but that it was applied

    event = late.apply_payment(refunded, utc_now())

    with pytest.raises(VersionConflict):
        service.store.save(late, event)


def test_an_event_that_changes_nothing_is_fetched_once(service, payments, compare, an_order):
    order_id = an_order()
    payments.has(order_id, 5, "open")

    assert [compare(), compare()] == [1, 0]
    assert service.store.get(order_id).version == 1


def test_an_order_whose_payment_has_published_nothing_or_nothing_new_is_not_fetched(
    service, payments, compare, an_order
):
    payments.has(an_order(), 3, "open", published=0)
    applied = an_order()
    payments.has(applied, 6, "authorized", published=5)
    service.on_payment(payments.payments[applied] | {"version": 5, "updated_at": utc_now()})

    assert compare() == 0


def test_an_order_stored_before_there_was_anything_to_compare_is_compared(service, payments, compare, an_order):
    order_id = an_order()
    service.store.orders.collection.update_one({"_id": order_id}, {"$unset": {"payment_version": 1}})
    payments.has(order_id, 4, "authorized")

    assert [compare(), compare()] == [1, 0]
    assert service.store.get(order_id).status == "awaiting_payment"


def test_an_operator_repairs_tickets_and_payments_by_one_call_after_another(service):
    calls = []
    service.caller = SimpleNamespace(require=lambda *issuers: "operator")
    for name, follows in (("anti_entropy", ["t5", None]), ("payments_anti_entropy", ["o5", None])):
        answers = iter(follows)

        def repair(after, name=name, answers=answers):
            calls.append((name, after))
            return {"repaired": 1, "next": next(answers)}

        setattr(service, name, SimpleNamespace(repair=repair))

    after, repaired = None, 0
    while True:
        answer = service.repair(after)
        after, repaired = answer["next"], repaired + answer["repaired"]
        if after is None:
            break

    assert calls == [
        ("anti_entropy", None),
        ("anti_entropy", "t5"),
        ("payments_anti_entropy", None),
        ("payments_anti_entropy", "o5"),
    ]
    assert repaired == 4
