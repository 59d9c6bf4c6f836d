"""Deadlines by the clock of orders alone: they hold without Redis, the scheduler and the worker."""

import json
import shutil
import time

import pytest
import redis
from kombu import Connection, Exchange, Queue

from dev.testing import wait_for
from expiration.schedule import job_id
from expiration.service import RESTORE_SECONDS
from libs.contracts.events import ExpirationComplete
from tests.e2e.people import Person

pytestmark = pytest.mark.usefixtures("at_rest")

GRACE_SECONDS, RESTART_SECONDS = 15, 10
SCHEDULED_JOBS = "rq:scheduler:scheduled_jobs"


@pytest.fixture
def without(system):
    """Return a function that stops programs until the test is over."""
    stopped = []

    def stop(*names):
        for name in names:
            system.stop_program(name)
            stopped.append(name)

    yield stop
    for name in reversed(stopped):
        system.start_program(name)
        system.wait_ready(name)


def test_a_ticket_is_on_sale_again_in_time_without_scheduler_and_worker(ana, bo, operator, without):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)
    without("scheduler", "worker")

    deadline = operator.let_expire(order_id)

    bo.wait_for_order(order_id, "cancelled", GRACE_SECONDS + 1)
    bo.wait_for_ticket(ticket_id, "on_sale", max(1, deadline + GRACE_SECONDS - time.monotonic()))
    assert bo.order(order_id)["cancelReason"] == "expired"


def test_a_ticket_is_on_sale_again_in_time_after_redis_lost_all_data(system, ana, bo, operator):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)
    operator.let_expire(order_id, 3)
    with redis.Redis.from_url(system.redis_url) as client:
        for key in client.scan_iter(SCHEDULED_JOBS):
            client.delete(key)
        for key in client.scan_iter("rq:job:expire-*"):
            client.delete(key)

    bo.wait_for_ticket(ticket_id, "on_sale", 3 + GRACE_SECONDS)
    assert bo.order(order_id)["cancelReason"] == "expired"


@pytest.fixture
def fired(system):
    """Return a function that lists the orders of all ExpirationComplete events since the test began."""
    exchange = Exchange(ExpirationComplete.exchange, type="topic", durable=True)
    with Connection(system.amqp_url) as connection:
        queue = Queue(exchange=exchange, routing_key=ExpirationComplete.name, exclusive=True)(connection)
        queue.declare()
        received = []

        def fired():
            while message := queue.get(no_ack=True):
                received.append(json.loads(message.body)["order_id"])
            return received

        yield fired


@pytest.mark.parametrize("keeps_data", [True, False])
def test_a_deadline_fires_once_though_redis_was_restarted(system, ana, bo, operator, without, fired, keeps_data):
    ticket_id = ana.list_ticket()
    order_id = bo.reserve(ticket_id)
    operator.let_expire(order_id, 5)
    with redis.Redis.from_url(system.redis_url) as client:
        due_soon = time.time() + 10
        wait_for(lambda: job_id(order_id).encode() in client.zrangebyscore(SCHEDULED_JOBS, 0, due_soon))
    without("orders")  # its own sweep would cancel the order too

    system.stop_program("redis")
    if not keeps_data:
        shutil.rmtree(system.folder / "redis" / "appendonlydir")
    system.start_program("redis")
    wait_for(lambda: order_id in fired(), 5 + GRACE_SECONDS + RESTART_SECONDS, "the deadline to fire")
    time.sleep(2 * RESTORE_SECONDS)

    assert fired().count(order_id) == 1


def test_without_redis_tickets_are_bought_and_password_guesses_are_throttled(system, bo, without):
    ana = Person(system.gateway_url, "ana").sign_up()
    ticket_id = ana.list_ticket()
    without("scheduler", "worker", "redis")

    order_id = bo.reserve(ticket_id)
    paid = bo.pay(order_id)
    guesses = [bo.post("/api/users/signin", {"email": ana.email, "password": f"a guess {n}"}) for n in range(12)]

    assert paid.status_code == 201, paid.text
    assert guesses[0].status_code == 400
    assert guesses[-1].status_code == 429 and int(guesses[-1].headers["Retry-After"]) >= 1


def test_an_order_paid_in_its_last_second_is_either_complete_or_cancelled(ana, bo, operator):
    order_id = bo.reserve(ana.list_ticket())
    operator.let_expire(order_id, 0.3)

    answer = bo.pay(order_id)

    expected = "complete" if answer.status_code == 201 else "cancelled"
    bo.wait_for_order(order_id, expected)
    assert answer.status_code in (201, 409)
