"""Whether a buyer holds a ticket is read from an index, whatever the number of their orders."""

from types import SimpleNamespace

import pytest

from dev.testing import commands_on
from libs.contracts.errors import TicketReserved, TicketSold
from orders import domain
from orders.store import OrderStore
from orders.tests.test_sweep import an_order


def test_held_order_is_found_among_many_by_one_key(service, mongo):
    orders = [an_order(service, number) for number in range(120)]

    with commands_on(mongo) as commands:
        held = OrderStore(mongo).find_held("t0", "bo")

    (read,) = commands
    assert held == orders[0] and (read["keysExamined"], read["docsExamined"]) == (1, 1)
    assert service.store.find_held("t0", "cy") is None


@pytest.mark.parametrize(
    ("status", "buyer", "error"),
    [
        ("created", "cy", TicketReserved),
        ("awaiting_payment", "cy", TicketReserved),
        ("complete", "cy", TicketSold),
        ("complete", "bo", domain.AlreadyHeld),
        ("created", "ana", domain.OwnTicket),
    ],
)
def test_who_cannot_reserve_a_held_ticket_reads_why_for_one_look_at_one_order(service, mongo, status, buyer, error):
    held = an_order(service, 0)
    mongo.orders.update_one({"_id": held.id}, {"$set": {"status": status}})
    service.caller = SimpleNamespace(user_id=buyer)

    with commands_on(mongo) as commands, pytest.raises(error):
        service.create("t0", version=1)

    (read,) = commands
    assert (read["op"], read["keysExamined"], read["docsExamined"]) == ("query", 1, 1)
    assert set(read["command"]["projection"]) == {"status", "buyer_id", "seller_id", "reservation_no"}
