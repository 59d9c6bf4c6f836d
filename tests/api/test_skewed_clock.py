"""The whole system with a skewed clock of orders: orders alone judges deadlines, and nobody pays for nothing."""

import os
import subprocess
from datetime import UTC, datetime, timedelta

import pymongo
import pytest

from dev.stack.supervisor import ROOT
from dev.testing import wait_for
from tests.e2e import invariants

SKEW = timedelta(minutes=2)
WRONG_CLOCK = """
from datetime import timedelta
from libs import clock

right = clock.utc_now
clock.utc_now = lambda: right() + timedelta(seconds={seconds})
"""


@pytest.fixture(scope="module")
def clock(system, request, tmp_path_factory):
    """Run the orders service with a clock that is fast by the parameter, and then check the invariants."""
    folder, program = tmp_path_factory.mktemp("clock"), system.programs["orders"]
    (folder / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=request.param.total_seconds()))
    environment = {**os.environ, **program.environment, "PYTHONPATH": f"{folder}:{ROOT}"}  # Python imports it first
    system.stop_program("orders")
    with subprocess.Popen(program.command, env=environment, cwd=ROOT) as process:
        try:
            wait_for(program.is_ready, 30, "orders with a wrong clock")
            yield
            invariants.check(system)
        finally:
            process.terminate()
            process.wait(10)
            system.start_program("orders")
    system.wait_ready("orders")


fast_clock = pytest.mark.parametrize("clock", [SKEW], indirect=True, ids=["fast"])
slow_clock = pytest.mark.parametrize("clock", [-SKEW], indirect=True, ids=["slow"])
pytestmark = pytest.mark.usefixtures("clock")


@fast_clock
def test_with_a_fast_clock_an_order_expires_early_and_nothing_is_charged(ana, bo, operator):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)

    operator.let_expire(order_id, SKEW.total_seconds() + 1)  # in a second by the clock of orders

    bo.wait_for_order(order_id, "cancelled")
    bo.wait_for_ticket(ticket_id, "on_sale")
    assert bo.pay(order_id).status_code == 409


@fast_clock
def test_a_ticket_started_by_the_clock_of_orders_is_refused_though_still_listed(ana, bo):
    starts_at = datetime.now(UTC) + SKEW / 2
    ticket = {"title": "Hamlet", "price": 20, "startsAt": starts_at.isoformat()}
    ticket_id = ana.post("/api/tickets", ticket).json()["id"]

    refused = bo.post("/api/orders", {"ticketId": ticket_id})

    assert ticket_id in [listed["id"] for listed in bo.get("/api/tickets").json()]
    assert (refused.status_code, "started" in refused.text) == (409, True)


@pytest.mark.parametrize("clock", [SKEW, -SKEW], indirect=True, ids=["fast", "slow"])
def test_a_ticket_is_bought_whatever_the_clock_of_orders(ana, bo):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)

    assert bo.pay(order_id).status_code == 201
    bo.wait_for_order(order_id, "complete")
    bo.wait_for_ticket(ticket_id, "sold")


@slow_clock
def test_with_a_slow_clock_an_order_can_be_paid_after_the_others_think_it_expired(system, ana, bo, operator):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)

    operator.let_expire(order_id, 1)
    wait_for(lambda: has_fired(system, order_id), what="expiration to publish ExpirationComplete")

    assert bo.order(order_id)["status"] == "created"
    assert bo.pay(order_id).status_code == 201
    bo.wait_for_order(order_id, "complete")


def has_fired(system, order_id):
    with pymongo.MongoClient(system.mongo_url("expiration")) as mongo:
        return mongo.expiration.deadlines.find_one({"_id": order_id, "state": "fired"})
