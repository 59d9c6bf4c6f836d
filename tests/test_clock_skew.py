"""Machines' clocks differ: that of orders decides, and those of others only give hints."""

from datetime import UTC, datetime, timedelta

import pytest

from expiration.domain import Deadline
from orders import domain
from tickets.domain import Ticket

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WINDOW, SKEW = timedelta(minutes=15), timedelta(minutes=2)
LATE = NOON + WINDOW


@pytest.fixture
def ticket():
    fields = {"title": "Hamlet", "price_cents": 1999, "starts_at": (NOON + WINDOW).isoformat()}
    return {**Ticket.create("t1", "ana", "usd", NOON, **fields).snapshot(), "starts_at": LATE}


@pytest.fixture
def order(ticket):
    return domain.Order.place("o1", ticket, "bo", 1, LATE, NOON)


def deadline(order):
    return Deadline.of(
        {"id": order.id, "version": order.version, "expires_at": order.expires_at, "status": order.status}
    )


def test_a_fast_clock_of_expiration_ends_no_order_early(order):
    now = LATE - SKEW

    assert deadline(order).fire(now + SKEW) is True
    assert order.expire(now, is_unpaid=True) is None

    assert order.expire(LATE, is_unpaid=True) == "OrderCancelled"


def test_a_slow_clock_of_expiration_keeps_no_order_longer(order):
    assert deadline(order).fire(LATE - SKEW) is False

    assert order.expire(LATE, is_unpaid=True) == "OrderCancelled"


@pytest.mark.parametrize("skew", [-SKEW, timedelta(0), SKEW])
def test_no_clock_judges_an_authorization(order, skew):
    payment = {"order_id": "o1", "version": 4, "status": "authorized", "final": False, "updated_at": LATE + skew}

    assert order.apply_payment(payment, LATE + SKEW) == "OrderAwaitingPayment"


def test_a_ticket_that_the_list_still_shows_is_refused_once_it_started_by_the_clock_of_orders(ticket):
    shown = Ticket.create("t1", "ana", "usd", NOON, title="Hamlet", price_cents=1999, starts_at=ticket["starts_at"])

    assert not shown.has_started(LATE - SKEW)
    with pytest.raises(domain.TicketStarted):
        domain.check_ticket(ticket, "bo", None, LATE)
