"""The whole system with a skewed clock of orders: orders alone judges deadlines, and nobody pays for nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pymongo
import pytest

from dev.stack import Stack, free_ports
from dev.stack.programs import all_programs
from dev.stack.supervisor import ROOT
from dev.testing import stack_folder, wait_for
from tests.e2e import invariants
from tests.e2e.people import Operator, Person

pytestmark = [pytest.mark.integration, pytest.mark.e2e]

SKEW = timedelta(minutes=2)
WRONG_CLOCK = """
from datetime import timedelta
from libs import clock

right = clock.utc_now
clock.utc_now = lambda: right() + timedelta(seconds={seconds})
"""


def system_with(skew):
    """Yield a system whose orders service has a clock that is fast by `skew`; check its invariants at the end."""

    def programs(stack):
        wrong = {"PYTHONPATH": f"{stack.folder}:{ROOT}"}
        for program in all_programs(stack):
            is_orders = program.name == "orders"
            yield replace(program, environment={**program.environment, **wrong}) if is_orders else program

    with stack_folder() as folder:
        wrong_clock = WRONG_CLOCK.format(seconds=skew.total_seconds())
        (folder / "sitecustomize.py").write_text(wrong_clock)  # Python runs it first
        with Stack(folder, free_ports(), programs=lambda stack: list(programs(stack)), environ={}) as system:
            yield system
            invariants.check(system)


@pytest.fixture(scope="module")
def fast():
    yield from system_with(SKEW)


@pytest.fixture(scope="module")
def slow():
    yield from system_with(-SKEW)


@pytest.fixture
def running(request):
    return request.getfixturevalue(request.param)


def people(system):
    return Person(system.gateway_url, "ana").sign_up(), Person(system.gateway_url, "bo").sign_up(), Operator(system)


@pytest.mark.parametrize("running", ["fast", "slow"], indirect=True)
def test_a_ticket_is_bought_whatever_the_clock_of_orders(running):
    ana, bo, _ = people(running)
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)

    assert bo.pay(order_id).status_code == 201
    bo.sees_order(order_id, "complete")
    bo.sees_ticket(ticket_id, "sold")


def test_with_a_fast_clock_an_order_expires_early_and_nothing_is_charged(fast):
    ana, bo, operator = people(fast)
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)

    operator.let_expire(order_id, SKEW.total_seconds() - 10)

    bo.sees_order(order_id, "cancelled")
    bo.sees_ticket(ticket_id, "on_sale")
    assert bo.pay(order_id).status_code == 409


def test_with_a_slow_clock_an_order_can_be_paid_after_the_others_think_it_expired(slow):
    ana, bo, operator = people(slow)
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)

    operator.let_expire(order_id, 1)
    wait_for(lambda: has_fired(slow, order_id), what="expiration to publish ExpirationComplete")

    assert bo.order(order_id)["status"] == "created"
    assert bo.pay(order_id).status_code == 201
    bo.sees_order(order_id, "complete")


def test_a_ticket_started_by_the_clock_of_orders_is_refused_though_still_listed(fast):
    ana, bo, _ = people(fast)
    starts_at = datetime.now(UTC) + SKEW / 2
    ticket = {"title": "Hamlet", "price": 20, "startsAt": starts_at.isoformat()}
    ticket_id = ana.post("/api/tickets", ticket).json()["id"]

    refused = bo.post("/api/orders", {"ticketId": ticket_id})

    assert ticket_id in [listed["id"] for listed in bo.get("/api/tickets").json()]
    assert (refused.status_code, "started" in refused.text) == (409, True)


def has_fired(system, order_id):
    with pymongo.MongoClient(system.mongo_url("expiration")) as mongo:
        return mongo.expiration.deadlines.find_one({"_id": order_id, "state": "fired"})
