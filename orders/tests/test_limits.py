"""How many reservations one buyer may have without paying, on a real MongoDB."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest

from dev.testing import commands_on
from libs.clock import utc_now
from libs.contracts.errors import KeyReused
from orders.domain import HOUR, Order, TooManyReservations
from orders.store import new_id


@pytest.fixture
def service(service):
    """The service as one buyer's requests reach it."""
    service.caller = SimpleNamespace(user_id="bo")
    service.window_seconds, service.unpaid_per_buyer, service.unpaid_per_hour = 900, 10, 30
    return service


def a_ticket(service):
    """Return the id of a ticket on sale."""
    ticket = {
        "id": new_id(), "version": 1, "price_version": 1, "title": "Hamlet, row 3", "price_cents": 1999,
        "currency": "usd", "category": "stage", "venue": None, "starts_at": None, "seller_id": "ana",
        "withdrawn": False,
    }  # fmt: skip
    service.store.tickets.apply(ticket)
    return ticket["id"]


def reserve(service):
    """Reserve another ticket; return the order's id, or why there is none."""
    try:
        return service.create(a_ticket(service))["id"]
    except TooManyReservations as error:
        return error


def test_buyer_who_wants_all_sixty_tickets_at_once_gets_ten(service):
    tickets = [a_ticket(service) for _ in range(60)]

    def order(ticket_id):
        try:
            return service.create(ticket_id)["status"]
        except TooManyReservations:
            return "refused"

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(order, tickets))

    assert (answers.count("created"), answers.count("refused")) == (10, 50)


def test_buyer_with_too_many_unpaid_reservations_reads_what_to_do_and_cancels_one(service):
    orders = [reserve(service) for _ in range(10)]

    refused = reserve(service)
    service.cancel(orders[3])

    assert str(refused) == "You have 10 unpaid reservations. Pay for one or cancel one before you reserve another."
    assert 890 <= refused.details["retry_after"] <= 900
    assert isinstance(reserve(service), str)


def test_paying_makes_room_for_another_reservation(service):
    orders = [reserve(service) for _ in range(10)]
    about = {"version": 4, "order_id": orders[0], "status": "authorized", "final": False, "updated_at": utc_now()}

    service.on_payment(about)

    assert isinstance(reserve(service), str)


def test_reserving_and_cancelling_all_day_ends_after_thirty_within_an_hour(service):
    for _ in range(30):
        service.cancel(reserve(service))

    refused = reserve(service)

    assert str(refused) == "You reserved 30 tickets within an hour and did not pay. Try again in 60 minutes."
    assert 3500 <= refused.details["retry_after"] <= 3600


def test_another_buyer_is_not_held_up(service):
    for _ in range(10):
        reserve(service)

    service.caller = SimpleNamespace(user_id="cy")

    assert isinstance(reserve(service), str)


def test_repeated_request_returns_its_order_however_many_there_are(service):
    ticket_id = a_ticket(service)
    order = service.create(ticket_id, idempotency_key="once")
    for _ in range(9):
        reserve(service)

    assert service.create(ticket_id, idempotency_key="once") == order


@pytest.mark.parametrize(
    ("status", "cancel_reason", "age", "counts"),
    [
        ("created", None, 2 * HOUR, True),
        ("cancelled", "buyer", HOUR / 2, True),
        ("cancelled", "expired", HOUR / 2, True),
        ("cancelled", "expired", 2 * HOUR, False),
        ("cancelled", "payment_failed", HOUR / 2, False),
        ("awaiting_payment", None, HOUR / 2, False),
        ("complete", None, HOUR / 2, False),
    ],
)
def test_what_was_not_paid_counts_and_what_was_paid_or_declined_does_not(service, status, cancel_reason, age, counts):
    now = utc_now()
    order = service.store.get(reserve(service))
    order.status, order.cancel_reason, order.created_at = status, cancel_reason, now - age
    order.version += 1
    service.store.save(order, "OrderUpdated")

    assert len(service.store.read_terms("", "bo", now - HOUR, 40)[1]) == counts


def test_reserving_reads_no_more_of_a_buyers_orders_than_count(service, mongo):
    now = utc_now()
    for number in range(200):
        buyer_id, placed = ("bo" if number % 2 else "cy"), now - timedelta(days=number)
        ticket = service.store.tickets.find(a_ticket(service))
        order = Order.place(new_id(), ticket, buyer_id, 1, placed + HOUR, placed)
        order.status, order.cancel_reason = "cancelled", "expired"
        service.store.add(order, slot=None)
        mongo.orders.update_one({"_id": order.id}, {"$unset": {"active": ""}})
    for _ in range(3):
        reserve(service)

    with commands_on(mongo) as commands:
        _, holds = service.store.read_terms("", "bo", now - HOUR, 40)

    assert [read["docsExamined"] for read in commands] == [3] == [len(holds)]


def test_a_reservation_takes_three_commands_with_an_idempotency_key_and_without(service, mongo):
    made = []
    for key in (None, "once"):
        ticket_id = a_ticket(service)
        with commands_on(mongo) as commands:
            made.append(service.create(ticket_id, idempotency_key=key)["id"])
        assert [next(iter(each["command"])) for each in commands] == ["find", "aggregate", "insert"]

    assert service.create(ticket_id, idempotency_key="once")["id"] == made[-1]


def test_a_repeated_request_returns_its_order_whatever_forbids_it_by_now(service):
    ticket_id = a_ticket(service)
    order_id = service.create(ticket_id, version=1, idempotency_key="once")["id"]
    service.cancel(order_id)
    assert service.create(ticket_id, version=1, idempotency_key="once")["status"] == "cancelled"

    withdrawn = {**service.store.tickets.find(ticket_id), "version": 2, "withdrawn": True}
    service.store.tickets.apply(withdrawn)
    assert service.create(ticket_id, version=1, idempotency_key="once")["id"] == order_id

    with pytest.raises(KeyReused):
        service.create(a_ticket(service), idempotency_key="once")
