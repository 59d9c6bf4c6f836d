"""One id follows what a browser's request causes: in every service's log lines, through RPC, events and jobs."""

import secrets
from contextlib import suppress

import pytest

from libs import context
from libs.testing import wait_for

pytestmark = pytest.mark.usefixtures("at_rest")


def lines(system, program, correlation_id):
    return [line for line in system.logs(program).splitlines() if f"[{correlation_id}]" in line]


def test_the_id_of_a_reservation_is_in_every_log_that_it_leads_to(system, ana, bo):
    correlation_id = f"e2e-{secrets.token_hex(8)}"
    ticket_id = ana.list_ticket()

    answer = bo.post("/api/orders", {"ticketId": ticket_id}, **{"X-Request-Id": correlation_id})

    assert answer.headers["X-Request-Id"] == correlation_id
    for part in ("orders", "tickets", "payments", "expiration"):
        wait_for(lambda part=part: lines(system, part, correlation_id), 15, f"{correlation_id} in the log of {part}")


def test_the_id_goes_through_the_job_of_a_deadline(system, operator, ana, bo):
    def is_heard(correlation_id, order_id):
        def heard():
            return any(f"ExpirationComplete:{order_id}" in line for line in lines(system, "orders", correlation_id))

        with suppress(AssertionError):  # the line is written a moment after the order was saved
            return wait_for(heard, 2)

    def goes_through():
        correlation_id, order_id = f"e2e-{secrets.token_hex(8)}", bo.reserve(ana.list_ticket())
        with context.work(correlation_id):
            operator.let_expire(order_id)
        bo.sees_order(order_id, "cancelled")
        return is_heard(correlation_id, order_id)

    # now and then orders' own sweep is quicker than the job, which then has nothing to say
    wait_for(goes_through, 60, "the job's event under the id of the call that moved the deadline")
