"""Expiry: overdue orders are released without any event, however many, once payments reports them as unpaid."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from dev.testing import commands_on
from libs.clock import iso, utc_now
from libs.contracts.errors import TicketReserved
from libs.events.anti_entropy import BATCH
from libs.rpc import RemoteError, ServiceUnavailable
from orders import service as orders_service
from orders.domain import Order
from orders.store import new_id

UNREACHABLE = ServiceUnavailable("payments")


class FakePayments:
    """Answers for each order "unpaid" unless told otherwise: "unknown", or its payment's status."""

    def __init__(self):
        self.outcomes, self.asked, self.error = {}, [], None

    def call(self, service, method, arguments, timeout):
        assert (service, method) == ("payments", "settle_all")
        ids = arguments["order_ids"]
        self.asked.append(ids)
        if self.error:
            raise self.error
        outcomes = {ident: self.outcomes.get(ident, "unpaid") for ident in ids}
        return {
            "unpaid": [ident for ident, outcome in outcomes.items() if outcome == "unpaid"],
            "settled": [a_payment(ident, outcome) for ident, outcome in outcomes.items() if outcome not in NOT_SETTLED],
        }


NOT_SETTLED = ("unpaid", "unknown")


def a_payment(order_id, status):
    about = {"id": order_id, "order_id": order_id, "version": 5, "status": status, "final": status == "cancelled"}
    now = iso(utc_now())
    return {**about, "amount_cents": 1999, "currency": "usd", "created_at": now, "updated_at": now}


@pytest.fixture
def payments():
    return FakePayments()


def an_order(service, number=1, expires_in=timedelta(seconds=-1)):
    ticket = {
        "id": f"t{number}", "title": "Hamlet, row 3", "price_cents": 1999, "currency": "usd", "category": "stage",
        "venue": None, "starts_at": None, "seller_id": "ana",
    }  # fmt: skip
    order = Order.place(new_id(), ticket, "bo", 1, utc_now() + expires_in, utc_now())
    service.store.add(order)
    return order


def status(service, order):
    return service.store.get(order.id).status


def test_one_sweep_releases_all_that_is_overdue_and_nothing_else(service, payments):
    overdue = [an_order(service, number) for number in range(2 * BATCH + 1)]
    in_time = an_order(service, len(overdue), expires_in=timedelta(minutes=5))

    service.sweep_overdue()

    found = [service.store.get(order.id) for order in overdue]
    assert {(order.status, order.cancel_reason, order.version) for order in found} == {("cancelled", "expired", 2)}
    assert service.store.get(in_time.id).status == "created"
    assert [len(ids) for ids in payments.asked] == [BATCH, BATCH, 1]


def test_a_sweep_of_many_orders_holds_up_no_buyer_by_reading_them_all_at_once(service, mongo, payments, monkeypatch):
    """5,000 took a tenth of a second or more in which the service did nothing else, every five seconds."""
    monkeypatch.setattr("libs.events.aggregates.READ_AT_ONCE", 2)
    for number in range(5):
        an_order(service, number)

    with commands_on(mongo) as commands:
        service.sweep_overdue()

    assert [each["nreturned"] for each in commands[:3]] == [2, 2, 1]
    assert [len(ids) for ids in payments.asked] == [5]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [("authorized", "awaiting_payment"), ("captured", "complete"), ("cancelled", "cancelled"), ("unknown", "created")],
)
@pytest.mark.parametrize("trigger", ["sweep", "event"])
def test_a_buyer_who_paid_in_time_keeps_the_ticket_though_no_event_of_it_arrived(
    service, payments, outcome, expected, trigger
):
    order = an_order(service)
    payments.outcomes[order.id] = outcome

    if trigger == "sweep":
        service.sweep_overdue()
    else:
        service.on_expiration_complete({"order_id": order.id})

    assert status(service, order) == expected
    assert service.store.get(order.id).cancel_reason == ("payment_failed" if outcome == "cancelled" else None)


def test_an_event_of_a_deadline_that_is_not_over_by_our_clock_asks_nobody(service, payments):
    order = an_order(service, expires_in=timedelta(seconds=5))

    service.on_expiration_complete({"order_id": order.id})

    assert (status(service, order), payments.asked) == ("created", [])


@pytest.mark.parametrize("error", [UNREACHABLE, RemoteError("MethodNotFound", "an earlier version of payments")])
def test_nothing_expires_while_payments_does_not_answer_but_for_ten_minutes_at_most(service, payments, error):
    payments.error = error
    young = [an_order(service, number, timedelta(seconds=-number)) for number in range(1, BATCH + 1)]
    old = an_order(service, 0, timedelta(minutes=-10))

    service.sweep_overdue()

    assert {status(service, order) for order in young} == {"created"}
    assert (status(service, old), service.store.get(old.id).cancel_reason) == ("cancelled", "expired")
    assert len(payments.asked) == 1  # the second batch would wait as long in vain


def test_orders_about_which_payments_cannot_say_anything_hold_up_no_others(service, payments, monkeypatch):
    monkeypatch.setattr(orders_service, "SWEEP_LIMIT", 10)
    unknown = [an_order(service, number, timedelta(minutes=-5)) for number in range(10)]
    payments.outcomes |= {order.id: "unknown" for order in unknown}
    service.sweep_overdue()
    unpaid = an_order(service, len(unknown))

    service.sweep_overdue()

    assert status(service, unpaid) == "cancelled"
    assert {status(service, order) for order in unknown} == {"created"}


def test_an_order_that_is_paid_while_payments_is_asked_is_left_as_it_is(service, payments, monkeypatch):
    paid, unpaid = an_order(service, 1), an_order(service, 2)

    def call(*arguments, **options):
        answer = FakePayments.call(payments, *arguments, **options)
        service.on_payment({**a_payment(paid.id, "authorized"), "updated_at": utc_now()})
        return answer

    monkeypatch.setattr(payments, "call", call)
    service.sweep_overdue()

    assert status(service, paid) == "awaiting_payment"
    assert status(service, unpaid) == "cancelled"


def test_a_buyer_who_meets_an_overdue_order_finds_the_ticket_reserved_until_payments_was_asked(service, payments):
    order = an_order(service)
    service.window_seconds, service.unpaid_per_buyer, service.unpaid_per_hour = 900, 10, 30

    service.caller = SimpleNamespace(user_id="cy")
    service.store.tickets.apply(
        {**order.ticket, "seller_id": "ana", "version": 1, "price_version": 1, "withdrawn": False}
    )

    with pytest.raises(TicketReserved):
        service.create(order.ticket["id"])
    service.sweep_overdue()

    assert service.create(order.ticket["id"])["reservation_no"] == 2
