import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

pytestmark = pytest.mark.usefixtures("at_rest")


def all_at_once(actions):
    """Run the actions from as many threads, started together; return their results in order."""
    gate = threading.Barrier(len(actions))

    def run(action):
        gate.wait(30)
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def test_of_fifty_buyers_exactly_one_gets_the_ticket(ana, person):
    ticket_id = ana.list_ticket()
    with ThreadPoolExecutor(8) as pool:
        buyers = list(pool.map(person, [f"buyer{number}" for number in range(50)]))

    answers = all_at_once([lambda buyer=buyer: buyer.post("/api/orders", {"ticketId": ticket_id}) for buyer in buyers])

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49


def test_a_double_click_on_pay_charges_once(ana, bo):
    order_id = bo.reserve(ana.list_ticket())

    answers = all_at_once([lambda: bo.pay(order_id)] * 4)

    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {answer.json().get("stripeId") for answer in answers if answer.status_code == 201} != {None}
    bo.wait_for_order(order_id, "complete")


def test_paying_and_cancelling_at_once_ends_in_one_or_the_other(ana, bo):
    for _ in range(3):
        order_id = bo.reserve(ana.list_ticket())

        paid, cancelled = all_at_once([partial(bo.pay, order_id), partial(bo.delete, f"/api/orders/{order_id}")])

        ended = "cancelled" if cancelled.status_code == 204 else "complete"
        assert (paid.status_code, ended) in [(201, "complete"), (201, "cancelled"), (409, "cancelled")]
        bo.wait_for_order(order_id, ended)
