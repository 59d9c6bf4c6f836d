"""One id follows what a browser's request causes: in every service's log lines, through RPC, events and jobs."""

import secrets

import pytest

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


def test_an_order_that_expires_is_cancelled_under_one_id_from_the_job_on(system, operator, ana, bo):
    order_id = bo.reserve(ana.list_ticket())

    operator.let_expire(order_id)
    bo.sees_order(order_id, "cancelled")

    said = wait_for(lambda: [line for line in system.logs("orders").splitlines() if f"{order_id}:" in line])
    assert all("[-]" not in line for line in said)
